"""A farm declared in a file, and what has to be done so that what runs matches it."""

from pathlib import Path
from typing import Any

import pytest

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.bridge_spec import BridgeSpec
from hubfarm.spec.farm_file import (
    Action,
    Change,
    difference,
    difference_of_bridges,
    origin_of,
    read_farm_file,
)
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import Restart
from hubfarm.spec.states import Access

FILE = """
[defaults]
group = "mima"
timeout = 86400
limits = { clients = 50 }

[[hub]]
count = 2

[[hub]]
label = "reduction"
owner = "luigi"
port = 21100
timeout = 0
restart = "always"
limits = { clients = 200, queue = 10 }

[[hub]]
label = "pair"
count = 2
port = 21200
"""


@pytest.fixture
def farm_file(tmp_path: Path) -> Path:
    path = tmp_path / "farm.toml"
    path.write_text(FILE)
    return path


def test_hubs_are_declared_with_defaults_counts_and_ports_in_a_row(farm_file: Path) -> None:
    declared = read_farm_file(farm_file).hubs
    assert [(hub.label, hub.port) for hub in declared] == [
        ("mima-1", 0),
        ("mima-2", 0),
        ("reduction", 21100),
        ("pair-1", 21200),
        ("pair-2", 21201),
    ]
    assert {hub.group for hub in declared} == {"mima"}
    assert [hub.timeout for hub in declared] == [86400, 86400, 0, 86400, 86400]
    assert declared[0].limits == Limits(clients=50)
    assert declared[2].limits == Limits(clients=200, queue=10)
    assert (declared[2].owner, declared[2].restart) == ("luigi", Restart.ALWAYS)
    assert {hub.origin for hub in declared} == {origin_of(farm_file)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[hub]]\ncount = -1", r"line 2: in \[\[hub\]\] 1: count is -1"),
        ("hubs = 3", r"line 1: there is no 'hubs' here: there are name, \[defaults\], \[\[hub\]\] and"),
        ("bridge = 3", r"line 1: bridge: write \[\[bridge\]\] for each"),
        ("[[bridge]]\nhubs = ['a']", r"line 1: in \[\[bridge\]\] 1: a bridge joins two hubs or more"),
        ("[[bridge]]\nhubs = 'a b'", r"line 1: in \[\[bridge\]\] 1: hubs: expected a list"),
        ("[[bridge]]\nhub = ['a', 'b']", r"there is no option 'hub': there are hubs, name and export_urls"),
        ("[[bridge]]\nhubs = ['a', 'b']\nname = 'a/b'", "not usable as a bridge's name: 'a/b'"),
        (
            "[[bridge]]\nhubs = ['a', 'b']\n\n[[bridge]]\nhubs = ['b', 'a']",
            r"line 4: in \[\[bridge\]\] 2: there is such a bridge",
        ),
        ("hub = 3", r"line 1: hub: write \[\[hub\]\] for each hub"),
        ("[hub]\ncount = 3", r"line 1: hub: write \[\[hub\]\] for each hub"),
        ("defaults = 3", r"line 1: defaults: write \[defaults\]"),
        ("name = 3", "line 1: name: expected text"),
        (
            "[[hub]]\ngroup = 'a'\nport = 1025\n[[hub]]\nlabel = 'b'\ncount = 2\nport = 1024",
            "line 7: it declares the port 127.0.0.1:1025 twice, for a-1 and for b-2: give each hub its own",
        ),
        ("# ä\n[[hub]]\n\n[[hub]]\nlabel = 'x'\n  timeout = -5", r"line 6: in \[\[hub\]\] 2: timeout is -5"),
        ("[[hub]]\ncount = 1000000000", "count is 1000000000"),
        (f"hub = {'[' * 100_000}", "nests too deeply"),
        ("[[hub]]\ncolour = 'red'", r"line 2: in \[\[hub\]\] 1: there is no option 'colour': there are label, owner, "),
        ("[[hub]]\norigin = 'x'", "there is no option 'origin'"),
        ("[[hub]]\n[[hub]]\ntimeout = 'long'", r"in \[\[hub\]\] 2: timeout: expected a number, got text"),
        ("hub = []\n[defaults]\nport = 1", r"in \[defaults\]: port is another for each hub, put it under \[\[hub\]\]"),
        ("hub = []\n[defaults]\ngroup = 1", r"in \[defaults\]: group: expected text, got a whole number"),
        ("[[hub]]\ntimeout = -1", "timeout"),
        ("[[hub]]\nrestart = 'sometimes'", "sometimes"),
        ("[[hub]]\nlimits = { clients = 0 }", "clients"),
        ("[[hub]]\nlimits = { colour = 1 }", "colour"),
        ("[[hub]]\nlabel = 'a/b'", "a/b"),
        ("[[hub]]\nlabel = 'x'\n[[hub]]\nlabel = 'x'", "line 4: it declares the label x twice"),
        ("[[hub]]\nlabel = 'x'\nlabel = 'y'\n", "line 3: it is set twice: \"label = 'y'\""),
        ("[[hub]]\nlabel = 'x'\n[defaults]\n[defaults]", "line 4: Cannot declare"),
        ("a = 1\n[[hub", "farm.toml: line 2: "),
    ],
)
def test_what_is_wrong_in_a_farm_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "farm.toml"
    path.write_text(text)
    with pytest.raises(WrongUse, match=said) as raised:
        read_farm_file(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "hub = []", "[defaults]\ngroup = 'mima'", "[[hub]]\ncount = 0"])
def test_farm_may_be_declared_to_hold_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "farm.toml"
    path.write_text(text)
    assert read_farm_file(path).hubs == []


def test_file_that_was_renamed_knows_its_hubs_again_by_its_name(tmp_path: Path) -> None:
    old, new = tmp_path / "farm.toml", tmp_path / "mima.toml"
    old.write_text("name = 'mima'\n[[hub]]\nlabel = 'a'")
    new.write_text("name = 'mima'")
    (a,) = read_farm_file(old).hubs
    assert a.origin in read_farm_file(new).origins
    before_it_had_a_name = hub("b", origin=origin_of(new))
    changes = difference([], [a, before_it_had_a_name], read_farm_file(new).origins, prune=True, replace_changed=False)
    assert [(change.action, change.label) for change in changes] == [(Action.STOP, "a"), (Action.STOP, "b")]


def test_farm_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "farm.toml"
    path.write_bytes(b"# \xff\n")
    with pytest.raises(WrongUse, match="no text in UTF-8: see byte 2"):
        read_farm_file(path)


def test_farm_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(HubfarmError, match="Is a directory"):
        read_farm_file(tmp_path)


def test_farm_file_that_is_not_there_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=f"there is no farm file {tmp_path}/none.toml"):
        read_farm_file(tmp_path / "none.toml")


def test_limits_that_the_file_does_not_set_are_the_hosts(tmp_path: Path) -> None:
    path = tmp_path / "farm.toml"
    path.write_text("[defaults]\nlimits = { queue = 10 }\n[[hub]]\n[[hub]]\nlabel = 'b'\nlimits = { clients = 5000 }")
    a, b = read_farm_file(path, Limits(clients=20, calls=30)).hubs
    assert a.limits == Limits(clients=20, calls=30, queue=10)
    assert b.limits == Limits(clients=5000, calls=30)


# ---------------------------------------------------------------------- the difference

ORIGIN = "0123456789abcdef"


def hub(label: str, port: int = 0, origin: str = ORIGIN, **options: Any) -> HubSpec:
    return HubSpec(id=0, label=label, origin=origin, port=port, **options)  # type: ignore[arg-type]


def actions(
    declared: list[HubSpec], running: list[HubSpec], *, prune: bool = False, replace: bool = False
) -> list[tuple[Action, str]]:
    changes = difference(declared, running, [ORIGIN], prune=prune, replace_changed=replace)
    return [(change.action, change.label) for change in changes]


def test_what_is_missing_is_started_and_what_runs_is_kept() -> None:
    assert actions([hub("a"), hub("b")], [hub("b", port=4711)]) == [(Action.START, "a"), (Action.KEEP, "b")]


def test_id_secret_restarts_and_the_port_the_system_chose_make_no_difference() -> None:
    running = HubSpec(id=7, label="a", secret="s", restarts=9, origin="another", port=4711)
    assert actions([hub("a")], [running]) == [(Action.KEEP, "a")]


@pytest.mark.parametrize(
    ("wanted", "detail"),
    [
        (hub("a", timeout=60), "timeout 0 -> 60"),
        (hub("a", owner="luigi"), "owner none -> luigi"),
        (hub("a", restart=Restart.NEVER), "restart on-failure -> never"),
        (hub("a", limits=Limits(clients=5)), "limits defaults -> clients=5"),
        (hub("a", port=21100), "port 4711 -> 21100"),
    ],
)
def test_hub_that_runs_with_other_options_differs_and_is_replaced_only_if_asked(wanted: HubSpec, detail: str) -> None:
    running = [hub("a", port=4711)]
    assert difference([wanted], running, [ORIGIN], prune=True, replace_changed=False) == [
        Change(Action.DIFFERS, "a", detail)
    ]
    assert actions([wanted], running, replace=True) == [(Action.REPLACE, "a")]


MIMA = {"owner": "mima", "group": "mima"}
GROUP = {"access": Access.GROUP, **MIMA}


@pytest.mark.parametrize(
    ("running", "wanted", "detail"),
    [
        (MIMA, GROUP, "access open -> group"),
        ({"access": Access.USERS, **MIMA}, GROUP, "access users -> group"),
        (MIMA, {**GROUP, "allow": ("user:anna",)}, "access open -> group, allow none -> user:anna"),
        (
            {**GROUP, "allow": ("user:anna", "user:paul")},
            {**GROUP, "allow": ("user:anna",)},
            "allow user:anna user:paul -> user:anna",
        ),
        (
            {**GROUP, "allow": ("user:anna",)},
            {**MIMA, "access": Access.LISTED, "allow": ("user:anna",)},
            "access group -> listed",
        ),
    ],
    ids=str,
)
def test_hub_that_lets_in_more_than_declared_is_restricted_while_it_runs(
    running: dict[str, Any], wanted: dict[str, Any], detail: str
) -> None:
    runs = [hub("a", **running)]
    assert difference([hub("a", **wanted)], runs, [ORIGIN], prune=True, replace_changed=False) == [
        Change(Action.RESTRICT, "a", detail)
    ]
    assert actions([hub("a", **wanted)], runs, replace=True) == [(Action.REPLACE, "a")]
    assert actions([hub("a", **wanted, timeout=60)], runs) == [(Action.RESTRICT, "a"), (Action.DIFFERS, "a")]


@pytest.mark.parametrize(
    ("running", "wanted"),
    [
        (GROUP, MIMA),
        (GROUP, {"access": Access.USERS, **MIMA}),
        (GROUP, {"access": Access.OWNER, **MIMA}),
        (GROUP, {**GROUP, "allow": ("user:anna",)}),
        ({"access": Access.USERS, **MIMA}, {**GROUP, "allow": ("account:anna",)}),
        ({"group": "vandels"}, {"access": Access.GROUP, "group": "mima"}),
    ],
    ids=str,
)
def test_hub_that_would_let_in_others_too_differs_and_is_left_alone(
    running: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert actions([hub("a", **wanted)], [hub("a", **running)]) == [(Action.DIFFERS, "a")]


def test_only_hubs_that_the_file_once_declared_are_pruned_and_only_if_asked() -> None:
    running = [hub("gone"), hub("of-another-file", origin="fedcba9876543210"), hub("by-hand", origin="")]
    assert actions([], running) == []
    assert actions([], running, prune=True) == [(Action.STOP, "gone")]


def bridge(name: str, *hubs: str, **options: Any) -> BridgeSpec:
    return BridgeSpec(name=name, hubs=hubs, **options)


def bridge_actions(declared: list[BridgeSpec], present: list[BridgeSpec], **how: bool) -> list[tuple[Action, str]]:
    ways = {"prune": False, "replace_changed": False} | how
    return [(each.action, each.label) for each in difference_of_bridges(declared, present, ("mine",), **ways)]


def test_bridges_are_started_kept_replaced_and_pruned_as_hubs_are() -> None:
    ab, ba, ac = bridge("x", "a", "b"), bridge("x", "b", "a"), bridge("x", "a", "c")
    assert bridge_actions([ab], []) == [(Action.START, "bridge x")]
    assert bridge_actions([ab], [ba]) == [(Action.KEEP, "bridge x")]  # in whatever order
    for other in (ac, bridge("x", "a", "b", export_urls=False)):
        assert bridge_actions([ab], [other]) == [(Action.DIFFERS, "bridge x")]
        assert bridge_actions([ab], [other], replace_changed=True) == [(Action.REPLACE, "bridge x")]
    mine, others = bridge("x", "a", "b", origin="mine"), bridge("y", "a", "c", origin="other")
    assert bridge_actions([], [mine, others]) == []
    assert bridge_actions([], [mine, others], prune=True) == [(Action.STOP, "bridge x")]


def test_bridge_is_declared_by_labels_and_lock_files_beside_the_file(tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    url = "std-lockurl:https://h:1/share/x"
    file.write_text(f"[[bridge]]\nhubs = ['a', './other/.samp', '{url}']\n[[bridge]]\nhubs = ['a', 'b']\nname = 'ab'\n")
    one, other = read_farm_file(file).bridges
    assert (one.name, one.hubs) == ("a-samp-hub", ("a", str(tmp_path / "other/.samp"), url))
    assert (other.name, other.hubs, other.origin) == ("ab", ("a", "b"), read_farm_file(file).origins[0])
