"""The control API: any request is done, or refused in one line, and never the coordinator's own failure."""

import json
import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.coordinator.control_server import ids_in, plan_in
from hubfarm.farm import Farm
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.hub_request import HubRequest, decode_requests, encode_requests
from hubfarm.spec.limits import Limits
from tests.fuzz.house_targets import fuzz_control
from tests.support import PATIENCE

GOOD: dict[str, Any] = {"count": 1, "label": "later", "limits": {}, "restart": "never"}
FIELDS = [*HubRequest.__struct_fields__, "ids", "new"]


def body(**changed: Any) -> bytes:
    """Return a request for one hub, with some of it changed."""
    return json.dumps([GOOD | changed]).encode()


def test_what_is_written_is_what_is_read() -> None:
    request = HubRequest(label="later", limits=Limits(clients=3), callback_hosts=("a", "b"), port=4711)
    assert decode_requests(encode_requests([request])) == [request]
    (spec,) = plan_in(body())(())
    assert (spec.label, spec.port) == ("later", 0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=6,
)


@given(json_values, st.sampled_from(FIELDS))
def test_any_json_is_a_request_or_refused(value: Any, key: str) -> None:
    for each in (value, {"ids": value}, [value], [GOOD | {key: value}]):
        fuzz_control(json.dumps(each).encode())


@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"count": 10**9},
        {"count": "1"},
        {"count": True},
        {"count": None},
        {"label": 5},
        {"label": "a/b"},
        {"limits": [5]},
        {"limits": "body=5"},
        {"limits": {"nonsense": 1}},
        {"callback_hosts": [{}]},
        {"restart": "perhaps"},
        {"port": 65536},
        {"timeout": -1},
        {"unknown": ""},
    ],
    ids=str,
)
def test_hubs_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongUse):
        plan_in(body(**wrong))


def test_more_hubs_than_a_farm_holds_are_refused_before_they_are_planned() -> None:
    with pytest.raises(WrongUse, match="1100 hubs are asked for: a farm holds 1000 at most"):
        plan_in(json.dumps([GOOD | {"count": 100}] * 11).encode())


def test_ids_are_whole_numbers() -> None:
    assert ids_in(b'{"ids": [3, 1]}') == [3, 1]
    for wrong in (b'{"ids": "31"}', b'{"ids": [1.5]}', b'{"ids": [1e999]}', b"[1]", b"", b"[" * 10**6):
        with pytest.raises(WrongUse):
            ids_in(wrong)


# ---------------------------------------------------------------------- over the socket


def post(farm: Farm, target: str, body: bytes, *fields: str) -> tuple[int, str]:
    """Return the status and the text that a request is answered with."""
    head = "".join(f"{field}\r\n" for field in (f"Content-Length: {len(body)}", "Connection: close", *fields))
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(PATIENCE)
        control.connect(str(farm.paths.control_socket))
        control.sendall(f"POST {target} HTTP/1.1\r\nHost: hubfarm\r\n{head}\r\n".encode() + body)
        answer = b"".join(iter(lambda: control.recv(65536), b""))
    told, _, text = answer.decode().partition("\r\n\r\n")
    return int(told.split()[1]), text


MALFORMED = [
    b"",
    b"nonsense",
    b"null",
    b"{}",
    b'{"ids": 1}',
    b'{"ids": ["one"]}',
    b'{"ids": [1',
    b'{"ids": [null]}',
    b'[{"label": 1}]',
    b'{"0": 1}',
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"ids":' * 100_000,
]


def test_malformed_requests_are_refused_in_one_line(farm: Farm) -> None:
    (hub,) = farm.start(label="mima")
    log = farm.log_file("coordinator")
    for target in ("/stop", "/restart", "/hubs"):
        for each in MALFORMED:
            status, text = post(farm, target, each)
            assert (status, len(text.splitlines())) == (400, 1), (target, each[:20])
        for field in ("Content-Encoding: gzip", "Content-Type: application/json; charset=nonsense"):
            assert post(farm, target, b"{}", field)[0] == 400
        assert post(farm, target, b" " * 2_000_000)[0] == 413
    assert "Traceback" not in log.read_text() + farm.paths.logs.joinpath("coordinator.out").read_text()
    assert [each.pid for each in farm.hubs()] == [hub.pid]
    assert post(farm, "/stop", json.dumps({"ids": [hub.id, 99]}).encode())[0] == 200
    assert farm.hubs() == []
