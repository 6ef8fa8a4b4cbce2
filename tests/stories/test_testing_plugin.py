"""The pytest plugin: a private hub for each test, also with many workers."""

import subprocess
import sys
from pathlib import Path

SUITE = """
import os, subprocess, sys
import pytest
from hubfarm import SAMPIntegratedClient

@pytest.mark.parametrize("number", range(4))
def test_alone(samp_hub, samp_client, number):
    assert samp_client.get_registered_clients() == ["hub"]
    with SAMPIntegratedClient("by the environment") as other:
        other.connect()
        assert samp_client.get_registered_clients() == ["hub", other.get_public_id()]
    program = "from hubfarm import *; c = SAMPIntegratedClient(); c.connect(); print(c.get_registered_clients())"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert samp_client.get_public_id() in output

def test_afterwards(monkeypatch):
    assert "SAMP_HUB" not in os.environ
"""


def test_every_test_has_a_hub_of_its_own_under_xdist(home: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    if not _installed():
        command += ["-p", "hubfarm.testing"]
    done = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, timeout=100, cwd=tmp_path)
    assert "5 passed" in done.stdout, done.stdout
    assert not (home / ".samp-1").exists()


def _installed() -> bool:
    from importlib.metadata import entry_points

    return any(entry.value == "hubfarm.testing" for entry in entry_points(group="pytest11"))
