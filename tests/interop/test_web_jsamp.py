"""JSAMP's own Web Profile client on our gateway: at the one address that it knows, in a network of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubfarm.farm import Farm
from tests.support import need, wait_for

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root"),
]

SCRIPT = """
set -e
ip link set lo up
hubfarm() { "$PYTHON" -m hubfarm "$@"; }
hubfarm start --label one >/dev/null
hubfarm web trust none --hub one >/dev/null
SAMP_HUB=web-appname:watcher jsamp snooper >seen-by-page 2>&1 &
watcher=$!
(exec "$PYTHON" -m hubfarm exec one -- jsamp snooper) >seen-by-program 2>&1 &
program=$!
until [ "$(hubfarm clients one --json | grep -c '"samp.name": "Snooper"')" -ge 2 ]; do sleep 0.1; done
send="jsamp messagesender -mode notify -mtype"
SAMP_HUB=web-appname:sender $send coord.pointAt.sky -param ra 1 -param dec 2 >sent-by-page 2>&1
hubfarm exec one -- $send table.load.votable -param url http://h/x >sent-by-program 2>&1
for _ in $(seq 200); do
    grep -q coord.pointAt.sky seen-by-program && grep -q table.load.votable seen-by-page && break
    sleep 0.1
done
kill $watcher $program
wait $watcher $program || true
"""


TESTERS = """
set -e
ip link set lo up
hubfarm() { "$PYTHON" -m hubfarm "$@"; }
hubfarm start --count 4 --group mima --web-mtypes '*' >/dev/null
for hub in mima-1 mima-2 mima-3 mima-4; do
    hubfarm web trust none --hub $hub
    SAMP_HUB=web-appname:tester jsamp hubtester || echo "hubtester fails on $hub"
    SAMP_HUB=web-appname:storm jsamp calcstorm -nclient 4 -nquery 4 -mode random || echo "calcstorm fails on $hub"
done
hubfarm ls --format '{label} {messages}'
"""


@pytest.mark.timeout(240)
def test_the_hub_tester_and_the_storm_of_calculators_pass_as_pages_on_four_hubs(
    home: Path, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("jsamp")
    need("unshare")
    monkeypatch.setenv("HUBFARM_WEB_PORT", "21012")
    monkeypatch.setenv("PYTHON", sys.executable)
    command = ["unshare", "--net", "bash", "-c", TESTERS]
    told = subprocess.run(command, cwd=home, capture_output=True, text=True, timeout=220)
    assert told.returncode == 0, told.stderr
    assert "fails on" not in told.stdout, told.stdout + told.stderr
    messages = dict(line.split() for line in told.stdout.splitlines() if line.startswith("mima-"))
    assert all(int(messages[f"mima-{number}"]) > 20 for number in (1, 2, 3, 4)), messages
    assert len(farm.stop(everything=True, coordinator=True)) == 4


def test_pages_and_programs_of_jsamp_talk_on_a_hub_of_the_farm(
    home: Path, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("jsamp")
    need("unshare")
    monkeypatch.setenv("HUBFARM_WEB_PORT", "21012")
    monkeypatch.setenv("PYTHON", sys.executable)
    told = subprocess.run(
        ["unshare", "--net", "bash", "-c", SCRIPT], cwd=home, capture_output=True, text=True, timeout=110
    )
    seen = {path.name: path.read_text(errors="replace") for path in home.glob("se*-by-*")}
    assert told.returncode == 0, (told.stderr, seen)
    assert "coord.pointAt.sky" in seen["seen-by-program"], seen
    assert "table.load.votable" in seen["seen-by-page"], seen
    assert farm.stop(everything=True, coordinator=True) == ["one"]
    wait_for(lambda: not farm.paths.web_socket.exists(), "the gateway's end")
