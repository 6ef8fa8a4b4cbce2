"""The control protocol: what is written is what is read, nonsense is refused in one line, versions are told apart."""

import json
import os
import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.control import protocol
from hubfarm.control.protocol import (
    VERSION,
    AnyEvent,
    AnyRequest,
    Coordinator,
    CoordinatorStatus,
    Done,
    Failed,
    Hello,
    Hub,
    HubStatus,
    NoCoordinator,
    OtherVersion,
    Restart,
    Shutdown,
    Start,
    Status,
    Stop,
    check_same_version,
    decode_event,
    decode_hello,
    decode_request,
    encode,
    fingerprint,
    hello,
)
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest
from hubfarm.spec.limits import Limits
from hubfarm.spec.states import Phase
from hubfarm.version import __version__
from tests.fuzz.house_targets import fuzz_control

HUB = HubStatus(
    id=1,
    label="größe\n",
    owner="",
    group="",
    phase=Phase.RUNNING,
    pid=None,
    url="",
    restarts=0,
    early_deaths=0,
    falls=0,
    lock_file=None,
    stable_name="/x",
)
REQUESTS: list[AnyRequest] = [
    Status(),
    Start([HubRequest(label="later", limits=Limits(clients=3), callback_hosts=("a", "b"), port=4711)]),
    Stop([1, 2]),
    Restart([3]),
    Shutdown(),
]
EVENTS: list[AnyEvent] = [
    Coordinator(CoordinatorStatus(1, "0.2.0", 1.5, [HUB])),
    Hub(HUB),
    Done(),
    Failed("no\nroom"),
]
GOOD: dict[str, Any] = {"count": 1, "label": "later", "limits": {}, "restart": "never"}
FIELDS = [*HubRequest.__struct_fields__, "ask", "ids", "requests"]


def start(**changed: Any) -> bytes:
    """Return a request for one hub, with some of it changed."""
    return json.dumps({"ask": "start", "requests": [GOOD | changed]}).encode()


# ---------------------------------------------------------------------- lines


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda each: type(each).__name__)
def test_request_is_one_line_and_reads_as_it_was_written(request_: AnyRequest) -> None:
    line = encode(request_)
    assert line.count(b"\n") == 1
    assert decode_request(line) == request_


@pytest.mark.parametrize("event", EVENTS, ids=lambda each: type(each).__name__)
def test_event_is_one_line_and_reads_as_it_was_written(event: AnyEvent) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1
    assert decode_event(line) == event


@pytest.mark.parametrize("kind", [WrongUse, NoCoordinator, HubfarmError])
def test_error_arrives_as_the_kind_it_was(kind: type[HubfarmError]) -> None:
    told = decode_event(encode(Failed.by(kind("no room: stop one"))))
    assert isinstance(told, Failed)
    assert type(told.error()) is kind
    assert str(told.error()) == "no room: stop one"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner),
    max_leaves=6,
)


@given(json_values, st.sampled_from(FIELDS), st.sampled_from(["start", "stop", "restart", "status", "nonsense"]))
def test_any_json_is_a_request_or_refused_in_one_line(value: Any, key: str, ask: str) -> None:
    for each in (value, {"ask": ask, "ids": value}, {"ask": ask, "requests": [GOOD | {key: value}]}):
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
    decode_request(start())
    with pytest.raises(WrongUse):
        decode_request(start(**wrong))


def test_more_hubs_than_a_farm_holds_are_refused_before_they_are_planned() -> None:
    with pytest.raises(WrongUse, match="1100 hubs are asked for: a farm holds 1000 at most"):
        decode_request(json.dumps({"ask": "start", "requests": [GOOD | {"count": 100}] * 11}).encode())


@pytest.mark.parametrize("ids", [b'"31"', b"[1.5]", b"[1e999]", b"[null]", b"[true]", b"1", b"[" * 10**6])
def test_ids_are_whole_numbers(ids: bytes) -> None:
    with pytest.raises(WrongUse):
        decode_request(b'{"ask": "stop", "ids": %s}' % ids)


# ---------------------------------------------------------------------- the version


def test_hello_is_read_whatever_a_later_release_adds_to_it() -> None:
    later = b'{"release": "9.0", "protocol": "77-x", "pid": 3, "says": "more"}\n'
    assert decode_hello(later) == Hello("9.0", "77-x", 3)
    assert hello() == Hello(__version__, VERSION, os.getpid())


def test_same_version_is_taken_whatever_the_release() -> None:
    check_same_version(Hello("0.2.0", "2-a", 1), Hello("0.3.0", "2-a", 2))


@pytest.mark.parametrize(
    ("ours", "theirs", "what_to_do"),
    [
        ("0.10.0", "0.9.1", "bring it to this release by hubfarm upgrade, its hubs keep their clients"),
        ("0.9.1", "0.10.0", "upgrade this hubfarm to 0.10.0"),
        ("0.9.1", "0.9.1", "kill -9 4711, the next hubfarm start begins a new one, which takes on its hubs"),
    ],
)
def test_other_version_says_in_one_line_which_talk_and_what_to_do(ours: str, theirs: str, what_to_do: str) -> None:
    with pytest.raises(OtherVersion) as raised:
        check_same_version(Hello(ours, "2-a", 1), Hello(theirs, "2-b", 4711))
    said = str(raised.value)
    assert said.startswith(f"this is hubfarm {ours}, and the coordinator (process 4711) is of hubfarm {theirs}")
    assert said.endswith(f": {what_to_do}")
    assert ("from another state of its source" in said) == (ours == theirs)
    assert "\n" not in said


def test_a_field_more_or_less_or_renamed_is_another_version() -> None:
    kinds = [
        msgspec.defstruct("Stop", fields)
        for fields in ([("ids", list[int])], [("ids", list[int]), ("wait", float, 0.0)], [("hubs", list[int])], [])
    ]
    assert len({fingerprint([kind]) for kind in kinds}) == 4
    assert fingerprint(kinds[:1]) == fingerprint([msgspec.defstruct("Stop", [("ids", list[int])])])


def test_every_structure_that_is_sent_counts_for_the_version() -> None:
    told = {each for each in vars(protocol).values() if isinstance(each, type) and issubclass(each, msgspec.Struct)}
    assert told - {Hello, protocol.Request, protocol.Event} == set(protocol.STRUCTURES)


def test_version_is_the_same_in_another_process() -> None:
    code = "from hubfarm.control.protocol import VERSION; print(VERSION)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert said == VERSION
