"""Requests for hubs: what may be asked for, under which names and ports several come, and how a request travels."""

from typing import Any

import pytest

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.hub_request import HubRequest, decode_requests, encode_requests, specs_for
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import Restart, asked


def test_several_hubs_have_numbered_labels_and_ports_in_a_row() -> None:
    specs = HubRequest(count=3, label="night", port=21100, owner="luigi").specs(used=())
    assert [(spec.label, spec.port) for spec in specs] == [("night-1", 21100), ("night-2", 21101), ("night-3", 21102)]
    assert {spec.owner for spec in specs} == {"luigi"}
    assert {spec.id for spec in specs} == {0}, "the coordinator gives them out"


@pytest.mark.parametrize(("named", "stem"), [({"group": "g", "owner": "o"}, "g"), ({"owner": "o"}, "o"), ({}, "hub")])
def test_label_that_was_not_asked_for_is_the_first_free_of_group_or_owner_or_hub(
    named: dict[str, str], stem: str
) -> None:
    specs = HubRequest(count=2, **named).specs(used={f"{stem}-1", f"{stem}-3"})  # type: ignore[arg-type]
    assert [spec.label for spec in specs] == [f"{stem}-2", f"{stem}-4"]


def test_first_label_is_numbered_1_and_none_is_left_out() -> None:
    assert [spec.label for spec in HubRequest(count=3).specs(used=())] == ["hub-1", "hub-2", "hub-3"]


def test_count_and_ports_may_go_to_the_last_that_there_is() -> None:
    assert len(HubRequest(count=1000).specs(used=())) == 1000
    assert [spec.port for spec in HubRequest(count=2, port=65534).specs(used=())] == [65534, 65535]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"count": 0}, "count is 0: a farm holds 1 to 1000 hubs"),
        ({"count": 1001}, "count is 1001"),
        ({"count": "many"}, "count: expected a whole number, got text"),
        ({"port": 65536}, "port is 65536: it must be 0"),
        ({"port": 65535, "count": 2}, "port is 65535: the ports of 2 hubs would end over 65535"),
        ({"lable": "x"}, "there is no option 'lable': there are label, owner, group,"),
        ({"restart": "perhaps"}, "restart is 'perhaps': it must be one of always, on-failure, never"),
        ({"timeout": "long"}, "timeout: expected a number, got text"),
        ({"limits": ["clients"]}, "not a limit: 'clients'"),
        ({"limits": {"clients": "x"}}, "limits.clients: expected a whole number, got text"),
        ({"callback_hosts": "everywhere"}, "callback_hosts: expected a list, got text"),
        ({"callback_hosts": ["a b"]}, "not a callback host: 'a b'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongUse) as refused:
        asked(HubRequest, given)
    assert str(refused.value).startswith(said)
    assert len(str(refused.value).splitlines()) == 1


def test_keywords_may_be_as_people_write_them() -> None:
    request = asked(
        HubRequest, {"limits": ("clients=3",), "callback_hosts": ["a", "b"], "restart": "never", "timeout": 5}
    )
    assert request == HubRequest(
        limits=Limits(clients=3), callback_hosts=("a", "b"), restart=Restart.NEVER, timeout=5.0
    )


def test_request_travels_and_so_does_one_for_a_hub_that_was() -> None:
    requests = [HubRequest(count=2, group="mima", limits=Limits(queue=7)), HubRequest(label="x", origin="0123")]
    assert decode_requests(encode_requests(requests)) == requests
    specs = specs_for(requests, used=())
    assert [spec.origin for spec in specs] == ["", "", "0123"]
    for spec in specs:
        assert HubRequest.of(spec).specs(used=()) == [spec]


@pytest.mark.parametrize("text", [b"{}", b"[", b'[{"count": "x"}]', b"\xff", b"[" * 100_000])
def test_what_is_no_request_is_refused_by_what_is_wrong(text: bytes) -> None:
    with pytest.raises(WrongUse, match=r"^not a request: .+"):
        decode_requests(text)


def test_as_many_hubs_as_a_farm_holds_may_be_asked_for_together() -> None:
    assert len(decode_requests(encode_requests([HubRequest(count=500)] * 2))) == 2


def test_more_hubs_than_a_farm_holds_are_refused_together() -> None:
    with pytest.raises(WrongUse, match="1100 hubs are asked for: a farm holds 1000 at most"):
        decode_requests(encode_requests([HubRequest(count=550)] * 2))
