"""An option of a hub is one field: one that is added here is found wherever hubs are asked for, kept and compared."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from hubfarm.registry.paths import Paths
from tests.conftest import RunCli
from tests.support import ROOT, installed, read_lock_file, wait_for

NEW_FIELD = """
import msgspec
from typing import Annotated
from hubfarm.samp.errors import WrongUse
from hubfarm.spec import options

def check_sky(value):
    if value not in ("dark", "grey", "bright"):
        raise WrongUse(f"sky is {value!r}: it must be dark, grey or bright")

class HubOptions(options.HubOptions, frozen=True, kw_only=True):
    sky: Annotated[
        str, options.Option(help="How dark it is.", metavar="SKY", check=check_sky, tokens=("hubfarm.sky",), since="9")
    ] = ""

options.HubOptions = HubOptions
"""
"""What a developer would write into hubfarm/spec/options.py."""


@pytest.fixture(autouse=True)
def _with_a_new_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(NEW_FIELD)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")


def python(code: str) -> str:
    """Run a program of a user's; return what it prints."""
    code = textwrap.dedent(code)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def sky_of(lock_file: str) -> str | None:
    return read_lock_file(Path(lock_file)).get("hubfarm.sky")


def test_command_line_takes_it_the_lock_file_carries_it_and_a_successor_has_it(cli: RunCli) -> None:
    assert "--sky SKY" in cli("start", "--help").stdout
    assert cli("start", "--sky", "pink").stderr.startswith("hubfarm: sky is 'pink': it must be dark")
    (hub,) = json.loads(cli("start", "--label", "night", "--sky", "dark", "--json").stdout)
    assert sky_of(hub["lock_file"]) == "dark"
    os.kill(hub["pid"], signal.SIGKILL)

    def successor() -> dict[str, object] | None:
        return next((each for each in json.loads(cli("ls", "--json").stdout) if each["pid"] != hub["pid"]), None)

    assert sky_of(str(wait_for(successor, "a successor")["lock_file"])) == "dark"


@pytest.mark.usefixtures("farm")
def test_farm_takes_it_by_keyword_and_refuses_what_it_cannot_be() -> None:
    print_sky = """
        from hubfarm import Farm
        from hubfarm.samp.errors import WrongUse
        from tests.support import read_lock_file
        (hub,) = Farm().start(label="night", sky="grey")
        print(read_lock_file(hub.lock_file)["hubfarm.sky"])
        try:
            Farm().start(sky="pink")
        except WrongUse as error:
            print(error)
    """
    assert python(print_sky) == "grey\nsky is 'pink': it must be dark, grey or bright"


def test_farm_file_declares_it_and_what_runs_is_compared_by_it(cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text("[defaults]\nsky = 'dark'\n[[hub]]\nlabel = 'night'\n[[hub]]\nlabel = 'moon'\nsky = 'bright'\n")
    assert cli("up", str(file)).returncode == 0
    skies = {hub["label"]: sky_of(hub["lock_file"]) for hub in json.loads(cli("ls", "--json").stdout)}
    assert skies == {"night": "dark", "moon": "bright"}
    file.write_text("[[hub]]\nlabel = 'night'\n")
    (change,) = json.loads(cli("up", str(file), "--dry-run", "--json").stdout)
    assert (change["action"], change["detail"]) == ("differs", "sky dark -> none")


def test_foreground_and_sampy_and_embedded_hubs_take_it(home: Path) -> None:
    for command in (
        [sys.executable, "-m", "hubfarm", "start", "--foreground", "--label", "one", "--sky", "dark"],
        [sys.executable, installed("sampy.py"), "--multi", "--label", "two", "--sky", "dark"],
    ):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            stable = Paths.from_environment().by_label / command[command.index("--label") + 1]
            wait_for(stable.exists, f"the hub {stable.name}")
            assert sky_of(str(stable)) == "dark"
            process.terminate()
    embedded = """
        from hubfarm import SAMP_HUB_MULTIPLE_INSTANCE, SAMPHubServer
        with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, sky="grey") as hub:
            print(hub.params["hubfarm.sky"])
    """
    assert python(embedded) == "grey"


def test_hub_of_an_older_release_that_lacks_it_has_the_default(home: Path) -> None:
    older = """
        from hubfarm.spec.hub_spec import HubSpec
        tokens = {"samp.secret": "s"} | HubSpec(id=1, sky="dark").tokens()
        del tokens["hubfarm.sky"]
        print(repr(HubSpec.from_tokens(tokens).sky))
    """
    assert python(older) == "''"
