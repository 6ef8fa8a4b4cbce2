"""What a hub may be asked to be, and that its lock file gives the same back to a successor."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.samp import lockfile
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import check_callback_hosts, check_label, check_name, check_port, check_seconds
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import options
from hubfarm.spec.policy import OPEN
from hubfarm.spec.principal import ANYBODY
from hubfarm.spec.rhythm import until_beat
from hubfarm.spec.states import HubKind
from tests.strategies import tried

GOOD_NAMES = ["mima", "La Silla", "observatório", "O'Brien & Söhne", "名前", "x" * 100, "C:\\x", "#1"]
BAD_NAMES = [
    "a=b",
    "",
    "x" * 101,
    "two\nlines",
    "a\rb",
    "tab\there",
    " before",
    "after ",
    "nul\0",
    "\x85",
    "a\u2028b",
    "\ud800",
]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_owner_and_group_are_any_names_on_one_line(name: str) -> None:
    assert check_name(name, "an owner") == name


@pytest.mark.parametrize("name", BAD_NAMES)
def test_name_that_a_line_cannot_hold_is_wrong_use(name: str) -> None:
    with pytest.raises(WrongUse, match="not usable as an owner"):
        check_name(name, "an owner")


@pytest.mark.parametrize("label", ["mima-2", "La Silla", "名前", "2nd", "a.b", "1-2-3"])
def test_label_is_taken(label: str) -> None:
    assert check_label(label) == label


@pytest.mark.parametrize(
    "label", [*BAD_NAMES, "a/b", "..", ".new-x", "-x", "a\\b", "7", "4711-2", "名" * 67, "coordinator"]
)
def test_label_that_is_no_file_name_or_reads_as_an_id_is_wrong_use(label: str) -> None:
    with pytest.raises(WrongUse, match="not usable as a label"):
        check_label(label)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf, -math.inf, 4e9])
def test_time_span_that_nobody_can_wait_is_wrong_use(value: float) -> None:
    with pytest.raises(WrongUse, match=r"must be seconds, 0 or more"):
        check_seconds(value, "timeout")


@pytest.mark.parametrize(
    "wrong",
    [{"label": "a/b"}, {"owner": "a\nb"}, {"group": " "}, {"timeout": -1}, {"client_timeout": math.nan}, {"host": ""}],
)
def test_hub_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(WrongUse):
        HubSpec(id=1, **wrong)  # type: ignore[arg-type]


def test_hub_is_called_by_its_label_or_else_by_its_id() -> None:
    assert HubSpec(id=3, label="mima").name == "mima"
    assert HubSpec(id=3).name == "hub-3"


def test_secret_does_not_show_in_logs() -> None:
    assert "swordfish" not in repr(HubSpec(id=1, secret="swordfish"))


def test_tokens_carry_the_names_of_2008_and_of_later_clients() -> None:
    tokens = HubSpec(id=2, label="mima", owner="luigi", group="oact").tokens()
    assert (tokens["samp.hub.label"], tokens["samp.hub.owner"], tokens["samp.hub.owner_group"]) == (
        tokens["hub.label"],
        tokens["hub.owner.name"],
        tokens["hub.owner.group"],
    )
    assert tokens["samp.hub.owner"] == "luigi"


LABELS = st.text(max_size=40).filter(lambda text: not text or _fits(check_label, text))
NAMES = st.text(max_size=40).filter(lambda text: not text or _fits(lambda name: check_name(name, "it"), text))
SECONDS = st.floats(0, 3.2e9)
LIMITS = st.builds(Limits, body=st.integers(1, 10**12), clients=st.integers(1, 10**6), queue=st.integers(1, 10**6))


def _fits(check: object, text: str) -> bool:
    try:
        check(text)  # type: ignore[operator]
    except WrongUse:
        return False
    return True


@tried(150)
@given(
    spec=st.builds(
        HubSpec,
        id=st.integers(0, 10**9),
        label=LABELS,
        owner=NAMES,
        group=NAMES,
        timeout=SECONDS,
        client_timeout=SECONDS,
        host=st.sampled_from(["127.0.0.1", "::1", "0.0.0.0", "host.example"]),
        secret=st.text("0123456789abcdef", min_size=1),
        limits=LIMITS,
    )
)
def test_successor_reads_from_the_lock_file_what_its_predecessor_was(spec: HubSpec) -> None:
    text = lockfile.write({lockfile.SECRET: spec.secret, **spec.tokens()})
    assert HubSpec.from_tokens(lockfile.parse(text)) == spec


def test_time_span_reads_as_people_write_it() -> None:
    tokens = HubSpec(id=1, timeout=3600, client_timeout=0.5).tokens()
    assert (tokens["hubfarm.timeout"], tokens["hubfarm.client-timeout"]) == ("3600", "0.5")


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("hubfarm.id", None),
        ("hubfarm.id", "two"),
        ("hubfarm.timeout", "soon"),
        ("hubfarm.timeout", "-1"),
        ("hubfarm.timeout", "nan"),
        ("samp.secret", None),
        ("samp.hub.label", "a/b"),
        ("hubfarm.limits", "body=0"),
        ("hubfarm.limits", "wings=2"),
    ],
)
def test_damaged_tokens_are_wrong_use(token: str, value: str | None) -> None:
    tokens = {"samp.secret": "s", **HubSpec(id=1).tokens()}
    if value is None:
        del tokens[token]
    else:
        tokens[token] = value
    with pytest.raises(WrongUse):
        HubSpec.from_tokens(tokens)


def test_limits_not_set_keep_their_defaults() -> None:
    assert Limits.parse(["clients=20"]) == Limits(clients=20)
    assert Limits.parse([]) == Limits()


@pytest.mark.parametrize("setting", ["clients", "clients=", "clients=-1", "clients=1.5", "clients=٣", "=3", "wings=2"])
def test_limit_that_is_none_is_wrong_use(setting: str) -> None:
    with pytest.raises(WrongUse, match=r"not a limit|must be a whole number, 1 or more"):
        Limits.parse([setting])


def test_limit_below_one_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="the limit queue is 0: it must be 1 or more"):
        Limits.parse(["queue=0"])


def test_limits_are_said_in_words_that_can_be_asked_for() -> None:
    limits = Limits(depth=7, queue=9)
    said = dict(part.split("=") for part in limits.in_words().split(", "))
    assert said == {name: str(getattr(limits, name)) for name in Limits.__struct_fields__}


@pytest.mark.parametrize("fell", [True, False])
def test_successor_is_one_restart_later_and_knows_whether_the_one_before_fell(fell: bool) -> None:
    spec = HubSpec(id=3, label="x", restarts=4, fell=True)
    assert spec.successor(fell=fell) == HubSpec(id=3, label="x", restarts=5, fell=fell)
    assert not spec.successor().fell


@pytest.mark.parametrize(
    "host", ["*", "ds9.example", "10.0.0.0/8", "10.1.2.3/8", "2001:db8::/32", "[::1]", "192.0.2.1"]
)
def test_callback_host_may_be_a_name_an_address_a_network_or_any(host: str) -> None:
    assert check_callback_hosts([host]) == [host]


@pytest.mark.parametrize("host", ["", "é", "a\x01b", "a b", "a,b", "a=b", "a/b", "10.0.0.0/33", "a/10.0.0.0"])
def test_callback_host_that_is_none_of_these_is_named_in_the_error(host: str) -> None:
    with pytest.raises(WrongUse, match=r"^not a callback host: ") as refused:
        check_callback_hosts(["fine.example", host])
    assert repr(host) in str(refused.value)


def test_limits_hold_no_more_clients_than_there_is_room_for() -> None:
    limits = Limits(clients=10, depth=7)
    assert limits.with_room_for(9) == Limits(clients=9, depth=7)
    assert limits.with_room_for(10) is limits
    assert limits.with_room_for(11) is limits


@pytest.mark.parametrize(("port", "taken"), [(-1, False), (0, True), (65535, True), (65536, False)])
def test_port_is_one_that_there_is_or_0_for_any(port: int, taken: bool) -> None:
    if taken:
        assert check_port(port) == port
    else:
        with pytest.raises(WrongUse, match=f"port is {port}"):
            check_port(port)


def test_spec_is_shown_without_its_secret_and_in_short() -> None:
    assert HubSpec(id=3, label="x", secret="s").__rich_repr__() == [("id", 3), ("label", "x")]


def test_kind_that_this_release_does_not_know_is_foreign_to_it() -> None:
    assert HubKind.read("standalone") is HubKind.STANDALONE
    assert HubKind.read("of a later release") is HubKind.FOREIGN


@pytest.mark.parametrize(("now", "wait"), [(10.0, 1.0), (10.25, 0.75), (10.75, 1.25)])
def test_hubs_beat_on_whole_seconds_and_never_twice_within_half_a_one(now: float, wait: float) -> None:
    assert until_beat(now) == wait


def test_policy_of_today_lets_everything_pass() -> None:
    assert OPEN.refusal_to_enter(ANYBODY) == ""
    assert OPEN.may_send(ANYBODY, "samp.app.ping", {})


def test_every_option_is_a_field_of_what_a_hub_is() -> None:
    assert {each.name for each in options()} <= set(HubSpec.__struct_fields__)
    assert "label" in {each.name for each in options()}
