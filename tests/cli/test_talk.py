"""The commands that talk on a hub, and the how-to, pasted block by block."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubfarm import Farm, Message, SAMPHubServer, SAMPIntegratedClient
from hubfarm.client.sniff import kind_of
from hubfarm.switches import conf
from tests.client.client_support import Inbox, hub, pair
from tests.conftest import RunCli
from tests.support import PATIENCE, ROOT, need_module, running

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


def test_clients_lists_names_subscriptions_and_metadata(pair: Pair, cli: RunCli) -> None:
    two = pair[1].get_public_id()
    assert re.search(rf"^two \({two}\) +[0-9:]+ +0 *$", cli("clients", "mine").stdout, re.MULTILINE)
    assert "samp.app.ping" in cli("clients", "mine", "-v").stdout
    found = {one["id"]: one for one in json.loads(cli("clients", "mine", "--json").stdout)}
    assert found[two]["metadata"] == {"samp.name": "two"}


def test_ping_asks_a_hub_or_a_client(pair: Pair, cli: RunCli) -> None:
    assert "mine answered in" in cli("ping", "mine").stdout
    assert "two answered in" in cli("ping", "mine", "two").stdout
    done = cli("ping", "mine", "three")
    assert (done.returncode, "no clients are called 'three'" in done.stderr) == (2, True)


def test_send_notifies_or_calls(pair: Pair, cli: RunCli) -> None:
    two = pair[1]
    heard = Inbox()

    @two.on_call("my.text")
    def text(message: Message) -> dict[str, str]:
        heard(message.id is None, message.params)
        return {"text": "taken"}

    assert cli("send", "mine", "my.text", "text=größe", "a=b=c").stdout == f"two ({two.get_public_id()})\n"
    assert heard.next() == (True, {"text": "größe", "a": "b=c"})
    assert '"taken"' in cli("send", "mine", "my.text", "--call", "--to", "two").stdout
    assert heard.next() == (False, {})
    assert cli("send", "mine", "my.unheard").returncode == 1
    assert cli("send", "mine", "my.text", "nonsense").returncode == 2


def test_snoop_prints_a_message_a_line(hub: SAMPHubServer, pair: Pair) -> None:
    one = pair[0]
    command = [sys.executable, "-u", "-m", "hubfarm", "snoop", "mine", "my.*", "--json"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        one.enotify_all("my.text", text="x")
        assert json.loads(process.stdout.readline()) == {
            "sender": one.get_public_id(),
            "id": None,
            "message": {"samp.mtype": "my.text", "samp.params": {"text": "x"}},
        }


def test_snoop_ends_with_its_hub(hub: SAMPHubServer) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "snoop", "mine", "my.*"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        hub.stop()
        assert process.wait(PATIENCE) == 0
        assert process.stderr.read() == "the hub mine has ended\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_command_that_is_ended_by_a_signal_leaves_its_hub_in_order(
    hub: SAMPHubServer, pair: Pair, number: signal.Signals
) -> None:
    command = [sys.executable, "-u", "-m", "hubfarm", "snoop", "mine"]
    with running(*command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert "listening" in process.stderr.readline()
        assert len(pair[0].get_registered_clients()) == 3
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert len(pair[0].get_registered_clients()) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["load", "mine", "x.vot", "--to", ""], "--to is empty"),
        (["start", "--label", ""], "--label is empty"),
        (["ls", "--group", ""], "--group is empty"),
        (["send", "mine", "bad mtype"], "not an MType"),
        (["send", "mine", "my.text", "=x"], "not a parameter: '=x'"),
        (["send", "mine", "my.text", "x=1", "x=2"], "'x' is given twice"),
        (["load", "mine", os.devnull], "is empty"),
        (["load", "mine", "file:///no/such/file"], "No such file or directory"),
        (["logs", "mine", "--since", "-5m"], "write a time span as 90s"),
    ],
)
def test_what_a_command_cannot_mean_is_wrong_use(
    hub: SAMPHubServer, cli: RunCli, arguments: list[str], said: str
) -> None:
    done = cli(*arguments)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_load_shows_what_a_client_warns_of(pair: Pair, cli: RunCli, tmp_path: Path) -> None:
    (tmp_path / "t.vot").write_text("<VOTABLE/>")

    @pair[1].on_call("table.load.votable")
    def warn(message: Message) -> Any:
        pair[1].ereply(message.id, "samp.warning", {}, {"samp.errortxt": "seen, and not acted on"})

    done = cli("load", "mine", str(tmp_path / "t.vot"))
    assert "took the table, and warns: seen, and not acted on" in done.stdout, done.stderr


def test_load_works_out_what_a_file_is(pair: Pair, cli: RunCli, tmp_path: Path) -> None:
    fits, tables = need_module("astropy.io.fits"), need_module("astropy.table")
    two = pair[1]
    heard = Inbox()

    @two.on_call("*")
    def take(message: Message) -> None:
        if ".load." in message.mtype:
            heard(message.mtype)

    fits.PrimaryHDU([[1.0]]).writeto(tmp_path / "image")
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU([[1.0]])]).writeto(tmp_path / "extension")
    table = tables.Table({"x": [1.0]})
    table.write(tmp_path / "table", format="fits")
    table.write(tmp_path / "votable", format="votable")
    for name, mtype in (
        ("image", "image.load.fits"),
        ("extension", "image.load.fits"),
        ("table", "table.load.fits"),
        ("votable", "table.load.votable"),
    ):
        done = cli("load", "mine", str(tmp_path / name))
        assert done.stdout.startswith("two\ttook the"), done.stderr
        assert heard.next() == (mtype,)
    assert cli("load", "mine", str(tmp_path / "none")).returncode == 2


def test_load_that_everybody_refuses_is_a_failure_and_says_why(pair: Pair, cli: RunCli, tmp_path: Path) -> None:
    two = pair[1]

    @two.on_call("table.load.votable")
    def refuse(message: Message) -> None:
        raise ValueError("too many columns")

    (tmp_path / "votable").write_text('<?xml version="1.0"?><VOTABLE version="1.3"/>')
    done = cli("load", "mine", str(tmp_path / "votable"))
    assert done.returncode == 1
    assert done.stdout.startswith("two\tValueError: too many columns")
    assert done.stderr.strip() == "hubfarm: nobody took the table"


def test_a_fits_table_that_calls_itself_a_spectrum_is_one() -> None:
    assert kind_of(b"SIMPLE  =                    T" + b"VOCLASS = 'Spectrum 1.0'".ljust(80)) == "spectrum"


def test_the_how_to_can_be_pasted(
    farm: Farm, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_module("astropy")
    monkeypatch.setattr(conf, "numbers", False)  # it is turned on in there
    farm.start(count=2, group="mima")
    text = (ROOT / "docs" / "clients.md").read_text()
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        if "/tmp/samp-hub" not in block:  # a lock file copied from elsewhere
            exec(block, names)
    output = capsys.readouterr().out
    assert "'result': '42'" in output
    assert "10.5" in output
    names["client"].disconnect()  # type: ignore[attr-defined]
