"""What README tells people to type does what it says: its lines with JSAMP, as they stand."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfarm.farm import Farm
from tests.interop.conftest import names_on
from tests.support import ROOT, need, wait_for

pytestmark = pytest.mark.interop


JAVA_PATIENCE = 60


def jsamp_lines() -> list[str]:
    """Return the commands of README's block with JSAMP, lines that go on joined."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (block,) = [block for block in blocks if "jsamp snooper" in block]
    return block.replace("\\\n", " ").splitlines()


@pytest.fixture
def crowded(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory in which people type: full of files that a star would name."""
    directory = home / "data"
    directory.mkdir()
    for name in ("a.fits", "table.load.votable", "samp", "-help"):
        (directory / name).touch()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return directory


@pytest.fixture
def seen(crowded: Path, farm: Farm) -> Iterator[Path]:
    """What the first line, which stays in the background, prints."""
    need("jsamp")
    farm.start(count=2, group="mima")
    farm.start(count=2, group="vandels")
    first, *_ = jsamp_lines()
    output = crowded.parent / "seen.txt"
    with output.open("w") as file:
        shell = subprocess.Popen(
            ["sh", "-c", f"{first}\nwait"], cwd=crowded, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    yield output
    os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def test_two_groups_on_one_host_with_jsamp_alone(seen: Path, crowded: Path, farm: Farm) -> None:
    wait_for(lambda: "Snooper" in names_on(farm.find("mima-1")) or "Usage" in seen.read_text(), "the snooper listens")
    _, to_mima, to_vandels = jsamp_lines()
    for line in (to_vandels, to_mima):
        done = subprocess.run(["sh", "-c", line], cwd=crowded, capture_output=True, text=True, timeout=JAVA_PATIENCE)
        assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: "file:///tmp/demo.xml" in seen.read_text(), "the snooper shows what was sent on its hub")
    assert "other.xml" not in seen.read_text()


def test_no_line_of_the_documents_has_a_star_that_a_wrapper_would_expand() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for line in page.read_text().splitlines():
            assert not ("jsamp" in line and "*" in re.sub(r"\*\*", "", line)), f"{page.name}: {line}"
