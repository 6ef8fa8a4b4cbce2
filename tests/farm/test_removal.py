"""Uninstalling: what lies where, that nothing of ours stays, and that nothing of others goes."""

import json
import os
import re
from pathlib import Path

import pytest

from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.homes import make_home
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError
from hubfarm.worker.embedded import SAMPHubServer
from tests.conftest import RunCli, processes_of
from tests.support import ROOT, wait_for


@pytest.fixture
def used(farm: Farm, home: Path, cli: RunCli) -> Farm:
    """A farm in which everything has been used once."""
    (home / "shared").mkdir()
    (home / "shared").chmod(0o1777)
    cli("service", "install", "--no-start")
    (home / ".config" / "hubfarm" / "config.toml").write_text("late_beats = 6\n")
    farm.users.add("luigi", "a password", groups=["mima"])
    farm.start(label="night", access="users", allow=["account:root"])
    farm.log_in("night", user="luigi", password="a password")
    os.symlink(farm.find("night").stable_name or "", home / ".samp")
    farm.restart(["night"])
    return farm


def left_in(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir())


def test_nothing_stays(used: Farm, home: Path, cli: RunCli) -> None:
    before = left_in(home)
    shown = cli("uninstall", "--dry-run")
    for part in (".config/systemd/user/hubfarm.service", ".samp", ".config/hubfarm/config.toml", "holds secrets"):
        assert part in shown.stdout
    assert "runs: night" in shown.stderr
    assert left_in(home) == before
    done = cli("uninstall", "--stop", "--yes")
    assert (done.returncode, left_in(home)) == (0, []), done.stderr
    assert not (home / ".samp-1").exists()
    assert not (home / ".config" / "hubfarm").exists()
    assert "pip uninstall hubfarm" in done.stdout
    assert cli("uninstall").stderr == "hubfarm has left nothing here\n"
    wait_for(lambda: not processes_of(home), "nothing runs any more")


def test_running_hubs_are_said_and_refused(farm: Farm, cli: RunCli) -> None:
    farm.start(label="night")
    with SAMPIntegratedClient("TOPCAT") as client:
        client.connect(label="night")
        wait_for(lambda: farm.find("night").clients == 1, "the hub tells of it")
        done = cli("uninstall", "--yes")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "runs: night, 1 client",
        "hubfarm: a farm runs: hubfarm uninstall --stop ends it first",
    ]
    assert [hub.label for hub in farm.hubs()] == ["night"]


def test_without_a_terminal_nobody_is_asked_and_nothing_removed(home: Path, cli: RunCli) -> None:
    (home / ".config" / "hubfarm").mkdir(parents=True)
    (home / ".config" / "hubfarm" / "config.toml").write_text("")
    done = cli("uninstall")
    assert done.returncode == 2
    assert "--yes says that you mean it" in done.stderr
    assert left_in(home) == [".config/hubfarm/config.toml"]


def test_what_others_wrote_stays_and_is_said(farm: Farm, home: Path, cli: RunCli) -> None:
    farm.start(label="night")
    foreign = home / ".samp-1" / "samp-hub-99-1"
    foreign.write_text("samp.secret=x\nsamp.hub.xmlrpc.url=http://127.0.0.1:9/\nsamp.profile.version=1.3\n")
    others = home / ".samp-1" / ".hubfarm" / "another-host"
    others.mkdir(mode=0o700)
    (farm.paths.runtime / "notes").write_text("mine")
    (home / ".samp").write_text("a lock file of another program")
    done = cli("uninstall", "--stop", "--yes")
    assert done.returncode == 0, done.stderr
    assert left_in(home) == [
        ".samp",
        f".samp-1/.hubfarm/{farm.paths.host}/notes",
        ".samp-1/samp-hub-99-1",
    ]
    assert others.is_dir()
    assert f"left {farm.paths.runtime}: there is something else in it: notes" in done.stdout
    assert f"left {others}: of another host" in done.stdout


def test_program_that_embeds_a_hub_is_to_end_first(farm: Farm, cli: RunCli) -> None:
    with SAMPHubServer(mode="multiple", label="mine"):
        done = cli("uninstall", "--yes", "--stop")
    assert done.returncode == 1
    assert "end the programs first that run hubs of their own: mine" in done.stderr


def test_link_in_place_of_a_directory_is_removed_and_not_followed(farm: Farm, home: Path) -> None:
    farm.start()
    farm.stop(everything=True, coordinator=True)
    (home / "precious").mkdir()
    (home / "precious" / "data").write_text("x")
    (farm.paths.logs / "link").symlink_to(home / "precious")
    farm.uninstall()
    assert left_in(home) == ["precious/data"]


def test_whatever_a_farm_may_have_in_its_directory_is_removed(paths: Paths) -> None:
    """The reference names all of it, which another test sees to."""
    reference = (ROOT / "docs" / "reference.md").read_text()
    table = reference.partition("/.hubfarm/<hostname>/`, one farm a host:")[2].partition("\n\nIn ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    names = {name.partition("/")[0] for cell in cells for name in re.findall(r"`([\w./<>-]+)`", cell)}
    assert {"guards", "state", "users.lock", "web.token"} <= names
    known = {path.name for path in paths.contents}
    assert names - known == set()


def test_uninstall_tells_as_json(farm: Farm, cli: RunCli) -> None:
    farm.start()
    told = json.loads(cli("uninstall", "--dry-run", "--json").stdout)
    assert str(farm.paths.runtime) in [each["path"] for each in told]


def test_program_that_lives_in_a_home_of_ours_is_to_end_first(farm: Farm) -> None:
    (hub,) = farm.start()
    make_home(farm.paths, "aladin", farm.paths.home, hub.lock_file, keeps=())  # this test is the program
    with pytest.raises(HubfarmError, match="end the programs first that hubfarm exec has started: aladin-"):
        farm.uninstall()
