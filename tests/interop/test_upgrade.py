"""A farm of release 0.1.0 is brought to this release under live clients, which do not notice."""

import dataclasses
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from hubfarm.control.client import ControlClient
from hubfarm.control.protocol import Hello
from hubfarm.farm import Farm
from hubfarm.farm.upgrade import Fate, parts_of
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import WrongUse
from hubfarm.version import __version__
from tests.conftest import RunCli
from tests.interop.conftest import OnHub
from tests.interop.ds9_support import ask, windows
from tests.support import ROOT, Receiver, StuckReceiver, message, need, need_module, read_lock_file, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")]

OLD = ROOT / "tests" / "recorded" / "hubfarm-0.1.0" / "hubfarm.tar.gz"
"""The package as it was at 2817f0c, release 0.1.0; what is C in it is optional."""


@pytest.fixture
def old(home: Path, tmp_path: Path) -> Any:
    """Run a command of release 0.1.0: ``old("start", "--count", "2")``."""
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "hubfarm", *arguments]
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            command, env=environment, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    assert "0.1.0" in run("--version")
    return run


def listed(cli: RunCli) -> dict[str, dict[str, Any]]:
    return {hub["label"]: hub for hub in json.loads(cli("ls", "--json").stdout)}


def test_clients_of_three_toolkits_stay_while_a_farm_of_0_1_0_is_upgraded(
    old: Any, cli: RunCli, on_hub: OnHub, receiver: Receiver
) -> None:
    need("jsamp")
    astropy = need_module("astropy.samp")
    astropy.conf.use_internet = False
    old("start", "--count", "2", "--group", "mima")
    before = listed(cli)
    assert {hub["version"] for hub in before.values()} == {""}

    snooper = on_hub("mima-1", "jsamp", "snooper", "-clientname", "snoop")
    client = astropy.SAMPIntegratedClient(name="astropy", addr="127.0.0.1")
    got: list[Any] = []
    client.connect(hub_params=read_lock_file(Path(before["mima-1"]["lock_file"])))
    client.bind_receive_notification("my.mtype", lambda key, sender, mtype, params, extra: got.append(params))
    receiver.join_by(Path(before["mima-1"]["lock_file"]), "python", "my.mtype")
    hub_url = before["mima-1"]["url"]
    wait_for(lambda: len(registered(receiver)) == 3, "the hub and the two others are there")
    ids = registered(receiver)

    planned = json.loads(cli("upgrade", "--dry-run", "--json").stdout)
    assert [(part["name"], part["fate"]) for part in planned] == [
        ("coordinator", "replace"),
        ("mima-1", "replace"),
        ("mima-2", "replace"),
    ]
    assert listed(cli)["mima-1"]["pid"] == before["mima-1"]["pid"]  # nothing was done

    done = cli("upgrade")
    assert (done.returncode, done.stderr) == (0, "")
    after = listed(cli)
    assert {hub["version"] for hub in after.values()} == {__version__}
    assert after["mima-1"]["url"] == hub_url
    assert after["mima-1"]["pid"] != before["mima-1"]["pid"]
    assert registered(receiver) == ids  # nobody has gone, and nobody came

    client.notify_all(message("my.mtype", n="1"))
    wait_for(lambda: receiver.next().params[2]["samp.params"] == {"n": "1"}, "astropy's message arrived")
    receiver.hub.notifyAll(receiver.key, message("my.mtype", n="2"))
    wait_for(lambda: got == [{"n": "2"}], "astropy's client was told")
    assert snooper.poll() is None
    client.disconnect()
    assert "nothing to do" in cli("upgrade").stdout


def test_ds9_does_not_notice_that_its_hub_is_upgraded(
    old: Any, cli: RunCli, display: str, on_hub: OnHub, receiver: Receiver, home: Path
) -> None:
    need("ds9")
    old("start", "--label", "night")
    receiver.join_by(Path(listed(cli)["night"]["lock_file"]), "python")
    said = home / "ds9.out"
    with said.open("w") as output:
        on_hub("night", "ds9", stdout=output)
    (ds9,) = wait_for(lambda: receiver.hub.getSubscribedClients(receiver.key, "ds9.get"), "DS9 is on its hub")
    assert "8." in ask(receiver, ds9, "ds9.get", cmd="version")["value"]
    # 0.1.0 probes its clients, and DS9 complains of the first probe: from then on nothing may come.
    wait_for(lambda: len(windows()) == 2, "0.1.0 has probed DS9")
    before = windows(), complaints(said)

    done = cli("upgrade")
    assert (done.returncode, done.stderr) == (0, "")
    assert listed(cli)["night"]["version"] == __version__
    assert registered(receiver) == sorted(["hub", ds9])
    assert "8." in ask(receiver, ds9, "ds9.get", cmd="version")["value"]
    assert (windows(), complaints(said)) == before


def complaints(said: Path) -> set[str]:
    """Return what DS9 has said, each thing once: 0.1.0 may probe it again before the upgrade comes."""
    return set(said.read_text().splitlines())


def registered(receiver: Receiver) -> list[Any]:
    return sorted(receiver.hub.getRegisteredClients(receiver.key))


def test_messages_that_wait_when_the_upgrade_comes_arrive_after_it(old: Any, cli: RunCli) -> None:
    old("start", "--label", "h")
    lock_file = Path(listed(cli)["h"]["lock_file"])
    with StuckReceiver() as stuck, Receiver() as sender:
        stuck.join_by(lock_file, "stuck", "my.mtype")
        sender.join_by(lock_file, "sender")
        for number in range(5):
            sender.hub.notify(sender.key, stuck.id, message("my.mtype", n=str(number)))
        assert cli("upgrade").returncode == 0
        stuck.gate.set()
        # The first one was under way: it is delivered again.
        got = [stuck.next().params[2]["samp.params"]["n"] for _ in range(6)]
    assert got == ["0", "0", "1", "2", "3", "4"]


def test_release_that_does_not_run_is_found_out_before_anything_is_ended(
    old: Any, cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old("start", "--label", "h")
    before, coordinator = listed(cli)["h"], coordinators_pid()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "uvloop.py").write_text("raise ImportError('no uvloop for this machine')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}{os.pathsep}{ROOT}")
    refused = cli("upgrade")
    assert refused.returncode == 1
    assert "so nothing was touched" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert (listed(cli)["h"]["pid"], coordinators_pid()) == (before["pid"], coordinator)
    old("stop", "--all", "--coordinator")  # it speaks another version than we do


def coordinators_pid() -> int:
    hello = ControlClient(Paths.from_environment().control_socket).hello()
    assert hello is not None
    return hello.pid


def test_earlier_release_refuses_to_take_a_later_ones_farm(farm: Farm) -> None:
    farm.start(label="h")
    (hub,) = farm.hubs()
    hello = Hello("99.0", "x", 4711)
    with pytest.raises(WrongUse, match=r"coordinator runs hubfarm 99\.0, and this is .*end the farm first"):
        parts_of(hello, [hub])
    with pytest.raises(WrongUse, match=r"h runs hubfarm 99\.0"):
        parts_of(None, [dataclasses.replace(hub, version="99.0")])
    assert [part.fate for part in parts_of(None, [hub])] == [Fate.CURRENT]
