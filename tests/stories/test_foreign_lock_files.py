"""A lock file is whoever's who wrote it: whatever is in one, the other hubs are found, listed and swept."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hubfarm import SAMPHubError, SAMPHubProxy, SAMPHubServer, SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import lock_url
from tests.client.client_support import hub
from tests.conftest import RunCli, processes_of
from tests.fuzz.house_targets import fuzz_lock_files
from tests.registry.registry_support import FOREIGN_URL
from tests.support import wait_for

__all__ = ["hub"]


def whole(url: str = FOREIGN_URL, **tokens: str) -> str:
    lines = {"samp.secret": "x", "samp.hub.xmlrpc.url": url, "samp.profile.version": "1.3", **tokens}
    return "".join(f"{key}={value}\n" for key, value in lines.items())


BAD = {
    "a bracket that is not closed": whole("http://[::1"),
    "an address that is none": whole("http://[v1.fe80::]/"),
    "characters that no host has": whole("http://\u2100/"),
    "a port that is none": whole("http://127.0.0.1:http/"),
    "a port that is too large": whole("http://127.0.0.1:65536/"),
    "a host of empty names": whole("http://a..b/"),
    "a host of a long name": whole(f"http://{'a' * 64}/"),
    "a long URL": whole(f"http://127.0.0.1:9/{'a' * 60_000}"),
    "no URL at all": whole("//"),
    "another scheme": whole("ftp://127.0.0.1/"),
    "a timeout without end": whole(**{"hubfarm.timeout": "inf"}),
    "a timeout that is no number": whole(**{"hubfarm.timeout": "nan"}),
    "restarts in other digits": whole(**{"hubfarm.restarts": "²"}),
    "restarts of many digits": whole(**{"hubfarm.restarts": "9" * 5000}),
    "a label that is a path": whole(**{"hub.label": "../../../etc/passwd"}),
    "a long label": whole(**{"hub.label": "x" * 50_000}),
    "a guard with a zero byte": whole(**{"hubfarm.host": "x", "hubfarm.guard": "/%00", "hubfarm.guard-file": "1:1"}),
    "a guard of another place": whole(**{"hubfarm.guard": "/dev/null", "hubfarm.guard-file": ""}),
    "a process of many digits": whole(**{"hubfarm.pid": "9" * 18, "hubfarm.id": "9" * 18}),
    "no key": "=\n",
    "bytes": bytes(range(256)).decode("latin-1"),
}
"""What has stopped discovery or a listing once, and what is like it."""


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
@pytest.mark.parametrize("name", [".samp", ".samp-1/samp-hub-4194303-1", ".samp-1/samp-hub-x"])
def test_one_bad_lock_file_is_passed_over(hub: SAMPHubServer, home: Path, name: str, text: str) -> None:
    (home / name).write_text(text)
    assert [each["hub.label"] for each in SAMPHubProxy.get_running_hubs().values()] == ["mine"]
    with SAMPIntegratedClient("one") as client:
        client.connect(label="mine")
        assert client.is_connected
    farm = Farm()
    assert [each.label for each in farm.hubs()] == ["mine"]
    assert farm.find("mine").url == hub.params["samp.hub.xmlrpc.url"]
    json.dumps([each.as_json() for each in farm.hubs(everything=True)], allow_nan=False)
    assert {verdict.path: verdict.removed for verdict in farm.gc(dry_run=True)}[farm.find("mine").lock_file] is False
    assert farm.up(_empty_farm_file(home), dry_run=True) == []


def test_a_dead_hub_whose_lock_file_was_spoilt_does_not_keep_a_coordinator_busy(farm: Farm, home: Path) -> None:
    hubs = farm.start(count=2, group="mima")
    for process in processes_of(home):
        process.kill()
    wait_for(lambda: {hub.state for hub in farm.hubs(everything=True)} == {"dead"}, "no guard is held")
    spoilt, whole = hubs
    text = spoilt.lock_file.read_text()
    spoilt.lock_file.write_text(text.replace(spoilt.url, "http://127.0.0.1:port/xmlrpc"))
    farm.start(label="later")
    labels = {spoilt.label, whole.label, "later"}
    wait_for(lambda: {hub.label for hub in farm.hubs()} == labels, "both are replaced, as both are wanted")
    assert "Traceback" not in farm.log_file("coordinator").read_text()


def _empty_farm_file(home: Path) -> Path:
    file = home / "farm.toml"
    file.write_text("hub = []\n")
    return file


def test_commands_go_on_beside_all_of_them_and_show_their_problems(hub: SAMPHubServer, home: Path, cli: RunCli) -> None:
    for number, text in enumerate(BAD.values()):
        (home / ".samp-1" / f"samp-hub-4194303-{number}").write_text(text)
    for arguments in (["ls"], ["ls", "--all"], ["gc", "--dry-run"], ["env", "mine"], ["ping", "mine"]):
        done = cli(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), arguments
    choose = cli("choose")
    assert (choose.returncode, "there are mine: in a shell take" in choose.stderr) == (2, True)
    listed = {each["lock_file"]: each for each in json.loads(cli("ls", "--all", "--json").stdout)}
    first = listed[str(home / ".samp-1" / "samp-hub-4194303-0")]
    assert first["problem"] == "the URL in the lock file is none of a hub: 'http://[::1'"


@pytest.mark.parametrize(
    "named",
    ["http://[::1", "std-lockurl:http://[::1", "file://[::1", "file:///%00", "/tmp/a\0b", "http://a..b/", "relative"],
    ids=ascii,
)
def test_a_bad_name_of_a_lock_file_is_an_error_of_hubfarms(
    home: Path, named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SAMPIntegratedClient("one") as client, pytest.raises(HubfarmError):
        client.connect(named)
    if "\0" not in named:
        monkeypatch.setenv("SAMP_HUB", f"std-lockurl:{named.removeprefix('std-lockurl:')}")
        assert SAMPHubProxy.get_running_hubs() == {}
        with SAMPIntegratedClient("one") as client, pytest.raises(HubfarmError):
            client.connect()


def test_a_lock_file_that_was_named_is_refused_with_the_reason(home: Path) -> None:
    (home / "lock").write_text("rubbish")
    with SAMPIntegratedClient("one") as client, pytest.raises(SAMPHubError, match="is no lock file: line 1"):
        client.connect(lock_url(home / "lock"))


KEYS = [
    "samp.secret",
    "samp.hub.xmlrpc.url",
    "samp.profile.version",
    "hub.id",
    "samp.hub.label",
    "samp.hub.owner",
    "samp.hub.owner_group",
    "hub.label",
    "hubfarm.id",
    "hubfarm.pid",
    "hubfarm.host",
    "hubfarm.kind",
    "hubfarm.boot",
    "hubfarm.machine",
    "hubfarm.namespace",
    "hubfarm.guard",
    "hubfarm.guard-file",
    "hubfarm.timeout",
    "hubfarm.restarts",
]

keys = st.sampled_from(KEYS) | st.text(max_size=10)
values = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["host", "farm", "1", "1:1", "inf", "nan", "-0", "1e999", "http://[::1", FOREIGN_URL, "²", "%00"]),
    st.from_regex(r"https?://[\[\]:.@0-9a-z/%]{0,20}", fullmatch=True),
)


@given(st.dictionaries(keys, values, max_size=12), st.sampled_from(["\n", "\r\n", "\r", "\n\n#"]))
@example({"samp.secret": "x", "samp.hub.xmlrpc.url": "http://[::1", "samp.profile.version": "1.3"}, "\n")
@settings(deadline=None)
def test_whatever_tokens_a_lock_file_has_others_are_found(tokens: dict[str, str], end: str) -> None:
    text = end.join(f"{key}={value}" for key, value in tokens.items())
    fuzz_lock_files(text.encode("utf-8", "surrogateescape" if text.isascii() else "replace"))


# ---------------------------------------------------------------------- whose directory it is


@pytest.fixture(params=["of somebody else", "writable by others", "a link"])
def untrusted(request: pytest.FixtureRequest, paths: Paths, tmp_path: Path) -> Paths:
    """A lock directory that is not to be trusted, with a lock file in it."""
    (paths.lockdir / "samp-hub-1-1").write_text(whole())
    match request.param:
        case "of somebody else":
            if os.getuid() != 0:
                pytest.skip("only root can give a directory away")
            os.chown(paths.lockdir, 12345, 12345)
        case "writable by others":
            paths.lockdir.chmod(0o777)
        case _:
            paths.lockdir.rename(tmp_path / "elsewhere")
            paths.lockdir.symlink_to(tmp_path / "elsewhere")
    return paths


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls"],
        ["ls", "--all"],
        ["ls", "--json"],
        ["gc"],
        ["gc", "--dry-run"],
        ["choose"],
        ["env", "1-1"],
        ["exec", "1-1", "--", "true"],
        ["clients", "1-1"],
        ["ping", "1-1"],
        ["send", "1-1", "samp.app.ping"],
        ["snoop", "1-1"],
        ["load", "1-1", "/dev/null"],
        ["top", "--once"],
        ["status"],
        ["history"],
        ["logs", "mima"],
        ["logs", "coordinator"],
        ["start"],
        ["stop", "--all"],
        ["drain", "1-1"],
        ["restart", "1-1"],
    ],
    ids=" ".join,
)
def test_nobody_reads_a_lock_directory_that_start_refuses(untrusted: Paths, cli: RunCli, arguments: list[str]) -> None:
    done = cli(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert str(untrusted.lockdir) in line
    assert "failed unexpectedly" not in line


def test_clients_do_not_read_it_either(untrusted: Paths) -> None:
    with SAMPIntegratedClient("one") as client:
        for names in ({"label": "mine"}, {"group": "x"}, {"choose": True}):
            with pytest.raises(HubfarmError, match=str(untrusted.lockdir)):
                client.connect(**names)  # type: ignore[arg-type]
    with pytest.raises(HubfarmError, match=str(untrusted.lockdir)):
        SAMPHubProxy.get_running_hubs()


@pytest.mark.parametrize("place", ["runtime", "guards", "by_label"])
def test_nor_the_farms_own_directories(paths: Paths, cli: RunCli, place: str) -> None:
    directory: Path = getattr(paths, place)
    directory.chmod(0o777)
    for arguments in (["ls"], ["gc"], ["history"], ["status"]):
        done = cli(*arguments)
        assert done.returncode == 1
        assert f"chmod go-w {directory}" in done.stderr
