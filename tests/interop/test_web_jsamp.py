"""JSAMP's own Web Profile client on our gateway: at the one address that it knows, in a network of its own."""

import os
import subprocess
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


def test_pages_and_programs_of_jsamp_talk_on_a_hub_of_the_farm(
    home: Path, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

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
