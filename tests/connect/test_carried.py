"""What messages name, said as the other host can read it, and what it is again when it comes back."""

import asyncio
from pathlib import Path

import pytest

from hubfarm.connect import carried as module
from hubfarm.connect.carried import CarriedFiles
from hubfarm.registry.connections import Kept
from hubfarm.samp.errors import Fault
from hubfarm.samp.xmlrpc import decode_call, decode_response, encode_call, encode_fault, encode_response


def files(kept: Kept | None = None) -> CarriedFiles:
    return CarriedFiles(kept or Kept(file_port=1001, far_port=1002), lambda: ["obs"], lambda: None)


def test_each_side_s_own_is_said_otherwise_and_nothing_else(tmp_path: Path) -> None:
    carried = files()
    (tmp_path / "a b").touch()
    here = (tmp_path / "a b").as_uri()
    out = carried.outward({"url": here, "list": [here, "text", {"x": "http://localhost:7/y"}]})
    assert isinstance(out, dict)
    url = str(out["url"])
    assert url.startswith("http://127.0.0.1:1002/n")
    assert url.endswith("/a%20b")
    assert out["list"][0] == url
    assert carried.url_of(url.split("/")[3]) == here
    assert carried.far_url_of(url.split("/")[3]) is None
    assert carried.inward(url) == here
    there = str(carried.inward("http://obs:80/t.vot"))
    assert there.startswith("http://127.0.0.1:1001/f")
    assert carried.outward(there) == "http://obs:80/t.vot"
    for other in ("http://a.example/x", "https://localhost/x", "file:///nowhere", "file://obs/x", "http://[", "files"):
        assert carried.outward(other) == other
    assert carried.inward("http://127.9.9.9:1/x") != "http://127.9.9.9:1/x"
    assert carried.inward("http://a.example/x") == "http://a.example/x"


def test_it_is_known_to_the_next_process_and_the_oldest_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    kept = Kept(file_port=1001, far_port=1002)
    carried = files(kept)
    urls = []
    for name in "abc":
        (tmp_path / name).touch()
        urls.append(str(carried.outward((tmp_path / name).as_uri())))
    assert len(kept.files) == 2
    again = files(kept)
    assert [again.url_of(url.split("/")[3]) is not None for url in urls] == [False, True, True]
    assert again.outward((tmp_path / "c").as_uri()) == urls[2]


def test_calls_and_answers_that_name_nothing_stay_as_they_are(tmp_path: Path) -> None:
    carried = files()
    (tmp_path / "f").touch()
    named = (tmp_path / "f").as_uri()

    async def both() -> None:
        plain = encode_call("samp.hub.notifyAll", ["key", {"samp.mtype": "a.b"}])
        assert await carried.call_outward(plain) is plain
        call = encode_call("samp.hub.notifyAll", ["key", {"samp.params": {"url": named, "x": "y" * 300_000}}])
        params = decode_call(await carried.call_outward(call)).params[1]["samp.params"]  # type: ignore[call-overload]
        assert params["url"].startswith("http://127.0.0.1:1002/")
        answer = encode_response({"url": "file:///far"})
        told = decode_response(await carried.answer_inward(answer))
        assert told["url"].startswith("http://127.0.0.1:1001/")  # type: ignore[call-overload,index]
        fault = encode_fault(Fault("no file: http"))
        assert await carried.answer_inward(fault) is fault
        with pytest.raises(Fault):
            await carried.call_outward(b"file: no XML")

    asyncio.run(both())
