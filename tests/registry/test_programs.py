"""Programs that do not read ``SAMP_HUB`` are shown a home of links, and the user's own home stays as it is."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.homes import clear_home, make_home
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.paths import Paths
from hubfarm.registry.programs import KNOWN, Need, name_of, variables_for
from hubfarm.registry.settings import load_settings
from hubfarm.samp.errors import HubfarmError, WrongUse
from tests.conftest import RunCli
from tests.support import PATIENCE, need, read_lock_file, running, wait_for

JAVA = "JAVA_TOOL_OPTIONS"


@pytest.fixture
def user_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Java takes for the user's home, with something in it: not the one of whoever runs the tests."""
    directory = home / "user's home"
    directory.mkdir()
    (directory / "notes").write_text("mine")
    (directory / ".samp").write_text("of another hub")
    monkeypatch.setenv(JAVA, f"-Xshare:auto -Duser.home={shlex.quote(str(directory))}")
    return directory


@pytest.fixture
def hub(farm: Farm) -> HubInfo:
    (one,) = farm.start(label="mima-1")
    return one


@pytest.fixture
def fake(home: Path) -> Callable[[str, str], Path]:
    """Make a program of any name: a shell script that does something with the home that it is shown as ``$shown``."""

    def make(name: str, does: str) -> Path:
        program = home / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nshown="${{JAVA_TOOL_OPTIONS##*-Duser.home=}}"\n{does}\n')
        program.chmod(0o755)
        return program

    return make


def homes(paths: Paths) -> list[Path]:
    return sorted(paths.homes.iterdir())


# ---------------------------------------------------------------------- which programs


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["aladin"], "aladin"),
        (["/opt/cds/Aladin.sh", "-nogui"], "aladin"),
        (["java", "-Xmx1g", "-jar", "/opt/Aladin.jar", "m51.fits"], "aladin"),
        (["/usr/lib/jvm/bin/java", "-jar", "topcat-full.jar"], "topcat-full"),
        (["java", "-jar"], "java"),
        (["ds9", "aladin.fits"], "ds9"),
        (["python3.11", "script.py"], "python3.11"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_programs_are_known_by_their_command_or_jar(command: list[str], name: str) -> None:
    assert name_of(command) == name


def test_most_programs_need_nothing(paths: Paths) -> None:
    for name in ("topcat", "ds9", "stilts", "jsamp", "python3", "sh"):
        assert variables_for([name], paths.single, paths, {}) == {}
    assert homes(paths) == []


def test_the_settings_file_adds_programs_and_takes_known_ones_out(
    hub: HubInfo, farm: Farm, home: Path, user_home: Path, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "config.toml").write_text('[programs]\nmyviewer = "home"\naladin = "nothing"\n')
    monkeypatch.setenv("HUBFARM_CONFIG", str(home / "config.toml"))
    assert load_settings().programs == {"myviewer": Need.HOME, "aladin": Need.NOTHING}
    assert farm.environment("mima-1", ["aladin"]) == {"SAMP_HUB": hub.samp_hub}
    assert set(farm.environment("mima-1", ["/usr/bin/MyViewer"])) == {"SAMP_HUB", "HOME"}

    (home / "config.toml").write_text('[programs]\nmyviewer = "mind"\n')
    with pytest.raises(WrongUse, match=r"config.toml: .*mind"):
        farm.environment("mima-1", ["ds9"])
    assert cli("exec", "mima-1", "--", "true").returncode == 2


# ---------------------------------------------------------------------- what they are shown


def test_java_program_finds_the_hub_in_its_home_and_all_else_as_ever(
    hub: HubInfo, farm: Farm, user_home: Path, fake: Callable[[str, str], Path], cli: RunCli
) -> None:
    show = 'echo "$SAMP_HUB"; cat "$shown/.samp" "$shown/notes"; echo " $HOME"; echo x > "$shown/.aladin/settings"'
    done = cli("exec", "mima-1", "--", str(fake("aladin", show)))
    assert (done.returncode, done.stderr) == (0, "")
    assert f"samp.hub.xmlrpc.url={hub.url}\n" in done.stdout
    assert done.stdout.splitlines()[0] == hub.samp_hub
    assert done.stdout.splitlines()[-1] == f"mine {os.environ['HOME']}"
    assert (user_home / ".aladin" / "settings").read_text() == "x\n"
    assert (user_home / ".samp").read_text() == "of another hub"


def test_the_users_own_java_options_stay_before_ours(paths: Paths, user_home: Path) -> None:
    before = os.environ[JAVA]
    variables = variables_for(["aladin"], paths.single, paths, {})
    assert list(variables) == [JAVA]
    assert variables[JAVA].startswith(f"{before} -Duser.home=/")
    overriding = {"_JAVA_OPTIONS": f"-Xmx1g -Duser.home={user_home.parent}"}
    assert list(variables_for(["aladin"], paths.single, paths, {}, overriding)) == ["_JAVA_OPTIONS"]


def test_the_hub_that_comes_after_a_restart_is_found_in_the_same_home(
    hub: HubInfo, farm: Farm, user_home: Path, fake: Callable[[str, str], Path], home: Path
) -> None:
    farm.environment("mima-1", ["aladin"])
    (place,) = homes(farm.paths)
    farm.restart(["mima-1"])
    again = read_lock_file(place / "home" / ".samp")
    assert again["samp.hub.xmlrpc.url"] == hub.url
    assert again["hubfarm.pid"] == str(farm.find("mima-1").pid) != str(hub.pid)


def test_java_itself_takes_it_for_the_home(hub: HubInfo, user_home: Path, home: Path, cli: RunCli, farm: Farm) -> None:
    need("java")
    settings = {"HUBFARM_CONFIG": str(home / "config.toml")}
    (home / "config.toml").write_text('[programs]\njava = "java-home"\n')
    done = cli("exec", "mima-1", "--", "java", "-XshowSettings:properties", "-version", env=os.environ | settings)
    (line,) = [line for line in done.stderr.splitlines() if line.strip().startswith("user.home =")]
    shown = Path(line.partition("=")[2].strip())
    assert shown.parent.parent == farm.paths.homes
    assert (shown / "notes").read_text() == "mine"


def test_program_that_looks_into_home_is_shown_one(
    hub: HubInfo, home: Path, fake: Callable[[str, str], Path], cli: RunCli
) -> None:
    done = cli("exec", "mima-1", "--", str(fake("gaia", 'cat "$HOME/.samp"; ls -A "$HOME"')))
    assert f"samp.hub.xmlrpc.url={hub.url}\n" in done.stdout
    assert ".samp-1" in done.stdout.splitlines()


# ---------------------------------------------------------------------- how long it stays


@pytest.fixture
def aladin(
    hub: HubInfo, user_home: Path, fake: Callable[[str, str], Path], home: Path
) -> Iterator["subprocess.Popen[str]"]:
    """An Aladin of sorts that has made a file, and waits."""
    does = 'ln -s nowhere "$shown/made-link"; echo new > "$shown/made"; echo ready; exec sleep 60'
    line = [sys.executable, "-m", "hubfarm", "exec", "mima-1", "--", str(fake("aladin", does))]
    with running(*line, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process


def test_home_stays_while_the_program_runs_and_goes_when_it_has_ended(
    aladin: "subprocess.Popen[str]", farm: Farm, user_home: Path, cli: RunCli
) -> None:
    (place,) = homes(farm.paths)
    assert place not in [verdict.path for verdict in farm.gc()]
    assert (place / "home" / "made").exists()
    aladin.send_signal(signal.SIGKILL)
    aladin.wait()
    assert {"path": str(place), "removed": True, "reason": "a home of a program that has ended"} in json.loads(
        cli("gc", "--dry-run", "--json").stdout
    )
    assert place.exists()
    assert place in [verdict.path for verdict in farm.gc() if verdict.removed]
    assert homes(farm.paths) == []
    assert (user_home / "made").read_text() == "new\n"
    assert os.readlink(user_home / "made-link") == "nowhere"
    assert (user_home / "notes").read_text() == "mine"
    assert (user_home / ".samp").read_text() == "of another hub"


def test_coordinator_clears_it_too(
    aladin: "subprocess.Popen[str]", farm: Farm, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm.stop(everything=True, coordinator=True)
    (home / "config.toml").write_text("sweep_every = 1.0\n")
    monkeypatch.setenv("HUBFARM_CONFIG", str(home / "config.toml"))
    farm.start()
    aladin.kill()
    aladin.wait()
    wait_for(lambda: homes(farm.paths) == [], "it is swept")


def test_what_the_users_home_has_already_is_kept_where_it_is(
    aladin: "subprocess.Popen[str]", farm: Farm, user_home: Path
) -> None:
    (user_home / "made").write_text("by somebody else meanwhile")
    (place,) = homes(farm.paths)
    aladin.kill()
    aladin.wait()
    for _ in range(2):
        (verdict,) = [verdict for verdict in farm.gc() if verdict.path == place]
        assert (verdict.removed, "take made from it" in verdict.reason) == (False, True)
    assert (place / "home" / "made").read_text() == "new\n"
    assert (user_home / "made").read_text() == "by somebody else meanwhile"
    (user_home / "made").unlink()
    farm.gc()
    assert homes(farm.paths) == []


def test_home_of_which_only_part_was_made_goes(paths: Paths) -> None:
    (paths.homes / "aladin-x").mkdir()
    assert clear_home(paths.homes / "aladin-x") == []
    assert homes(paths) == []


def test_home_that_cannot_be_read_is_a_failure(paths: Paths, home: Path) -> None:
    with pytest.raises(HubfarmError, match=r"cannot make a home for aladin: .*No such file or directory"):
        make_home(paths, "aladin", home / "nowhere", paths.single, [])


# ---------------------------------------------------------------------- what env says


def test_env_prints_for_people_which_programs_need_more(hub: HubInfo, cli: RunCli, home: Path) -> None:
    assert cli("env", "mima-1").stdout == f"export SAMP_HUB={hub.samp_hub}\n"
    command = shlex.join([sys.executable, "-m", "hubfarm", "env", "mima-1"])
    line = [need("script"), "-qec", command, "/dev/null"]
    shown = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE).stdout
    assert "# aladin, " in shown
    assert "hubfarm exec mima-1 -- aladin" in shown
    assert set(KNOWN) == {"aladin", "aladinbeta", "aladinproto", "gaia"}
