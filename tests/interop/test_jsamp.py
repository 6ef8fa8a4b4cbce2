"""JSAMP, the reference toolkit: its hub tester and load generator on our hubs, its hub beside ours."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.conftest import RunCli
from tests.interop.conftest import OnHub
from tests.support import ROOT, need, read_lock_file, serves, wait_for

pytestmark = pytest.mark.interop

SAMPY = ROOT / "bin" / "sampy.py"

JAVA_PATIENCE = 100
"""How long a Java program may take on a busy machine, seconds."""


@pytest.fixture(autouse=True)
def _jsamp() -> None:
    need("jsamp")


def test_the_hub_tester_passes_on_four_hubs_at_the_same_time(hubs: list[HubInfo], on_hub: OnHub) -> None:
    testers = [on_hub(hub.label, "jsamp", "hubtester") for hub in hubs]
    outputs = [tester.communicate(timeout=JAVA_PATIENCE)[0] for tester in testers]
    assert [tester.returncode for tester in testers] == [0] * 4, "\n".join(outputs)


@pytest.mark.parametrize(
    ("mode", "clients", "queries"),
    [("sync", 20, 100), ("async", 20, 100), ("notify", 20, 100), ("random", 20, 100), ("async", 100, 20)],
)
def test_a_storm_of_calculators_gets_every_answer(
    farm: Farm, on_hub: OnHub, mode: str, clients: int, queries: int
) -> None:
    farm.start(label="storm")
    storm = on_hub("storm", "jsamp", "calcstorm", "-nclient", str(clients), "-nquery", str(queries), "-mode", mode)
    output, _ = storm.communicate(timeout=JAVA_PATIENCE)
    assert storm.returncode == 0, output
    assert "Elapsed time" in output
    wait_for(lambda: farm.find("storm").messages >= clients * queries, "it was our hub that carried the messages")
    wait_for(lambda: farm.find("storm").clients == 0, "every calculator is unregistered")


class TestBesideJsampsHub:
    @pytest.fixture(autouse=True)
    def lock_file(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
        """JSAMP's hub runs, with ``~/.samp`` of the test's home (it would look into the password database for it)."""
        path = home / ".samp"
        monkeypatch.setenv("SAMP_HUB", f"std-lockurl:file://{path}")
        # The Web Profile, which it would run as well, needs a display.
        hub = subprocess.Popen(["jsamp", "hub", "-mode", "no-gui", "-profiles", "std"], stderr=subprocess.DEVNULL)
        monkeypatch.delenv("SAMP_HUB")
        with hub:
            wait_for(lambda: serves(path), "JSAMP's hub has started")
            yield path
            hub.terminate()

    def test_it_is_listed_as_foreign(self, lock_file: Path, cli: RunCli) -> None:
        (hub,) = json.loads(cli("ls", "--json").stdout)
        assert (hub["kind"], hub["state"], hub["lock_file"]) == ("foreign", "running", str(lock_file))
        assert hub["url"] == read_lock_file(lock_file)["samp.hub.xmlrpc.url"].replace("\\", "")

    def test_gc_keeps_its_lock_file(self, lock_file: Path, cli: RunCli) -> None:
        verdicts = json.loads(cli("gc", "--json").stdout)
        assert [(each["path"], each["removed"]) for each in verdicts] == [(str(lock_file), False)]
        assert lock_file.exists()

    def test_sampy_refuses_to_start_in_its_place(self, lock_file: Path) -> None:
        before = lock_file.read_text()
        refused = subprocess.run([sys.executable, str(SAMPY)], capture_output=True, text=True, timeout=60)
        assert refused.returncode == 1
        assert str(lock_file) in refused.stderr
        assert "Traceback" not in refused.stderr
        assert lock_file.read_text() == before

    def test_a_farm_runs_beside_it(self, cli: RunCli) -> None:
        cli("start", "--label", "ours", check=True)
        listed = json.loads(cli("ls", "--json").stdout)
        assert [(hub["label"], hub["kind"]) for hub in listed] == [("ours", "farm"), ("", "foreign")]
