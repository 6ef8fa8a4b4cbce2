"""Files that messages name, served for hubs on other hosts: those that were named here, and no others."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from hubfarm.bridge import exports as module
from hubfarm.bridge.exports import Exports
from hubfarm.samp.values import Map
from tests.support import in_a_loop, message


@dataclass
class Place:
    is_on_this_host: bool
    own_address: str = "127.0.0.1"


HERE, AFAR = Place(True), Place(False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m 31.fits"
    path.write_bytes(b"SIMPLE  = T" * 100)
    return path


async def fetched(url: str, **headers: str) -> bytes:
    def fetch() -> bytes:
        with urlopen(Request(url, headers=headers), timeout=10) as answer:
            return bytes(answer.read())

    return await asyncio.to_thread(fetch)


def url_in(content: Map) -> str:
    params = content["samp.params"]
    assert isinstance(params, dict)
    return str(params["url"])


@in_a_loop
async def test_file_is_served_to_afar_wherever_it_stands_in_a_message(file: Path) -> None:
    exports = Exports()
    url = file.as_uri()
    try:
        sent = await exports.exported(message("image.load.fits", url=url, deep=[{"also": [url, "x"]}]), HERE, AFAR)
        served = url_in(sent)
        assert served.startswith("http://127.0.0.1:")
        assert served.endswith("/m%2031.fits")
        assert sent["samp.params"] == {"url": served, "deep": [{"also": [served, "x"]}]}
        assert await fetched(served) == file.read_bytes()
        assert await fetched(served, Range="bytes=0-5") == b"SIMPLE"
        with pytest.raises(HTTPError, match="404"):
            await fetched(served.replace("/m%2031", "x/m%2031"))
    finally:
        await exports.close()
    with pytest.raises(OSError, match="urlopen"):
        await fetched(served)


@in_a_loop
async def test_what_stays_as_it_is(file: Path, tmp_path: Path) -> None:
    exports = Exports()
    same = message("image.load.fits", url=file.as_uri())
    assert await exports.exported(same, HERE, HERE) == same
    for url in (tmp_path.as_uri(), (tmp_path / "none").as_uri(), "file://elsewhere/x", "http://h/x", "file:///a%00b"):
        sent = message("image.load.fits", url=url)
        assert await exports.exported(sent, HERE, AFAR) == sent


@in_a_loop
async def test_file_that_was_named_afar_first_is_never_served(file: Path) -> None:
    exports = Exports()
    told = message("my.echo", url=file.as_uri())
    await exports.exported(told, AFAR, HERE)
    assert await exports.exported(told, HERE, AFAR) == told


@in_a_loop
async def test_no_more_than_so_many_files_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    exports = Exports()
    served = []
    for number in range(3):
        path = tmp_path / f"{number}"
        path.write_text(f"{number}")
        served.append(url_in(await exports.exported(message("a.b", url=path.as_uri()), HERE, AFAR)))
    assert [await fetched(url) for url in served[1:]] == [b"1", b"2"]
    with pytest.raises(HTTPError, match="404"):
        await fetched(served[0])
    await exports.close()
