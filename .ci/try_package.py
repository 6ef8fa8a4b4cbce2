"""Install what was built as users would, each time in an environment of its own, and run two hubs with it.

The wheel on every Python at hand that it is for; the source distribution where there is no compiler.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PYTHONS = ("python3.11", "python3.12", "python3.13")
WITHOUT_COMPILER = {"CC": "false", "CXX": "false"}
COMMANDS = ("hubfarm", "samp_hub", "sampy.py")


def main() -> None:
    """``try_package.py DIST SCRATCH``: try the wheel and the source distribution that lie in DIST."""
    dist, scratch = (Path(argument) for argument in sys.argv[1:])
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    assert "-cp311-abi3-" in wheel.name, f"{wheel.name}: not for every Python from 3.11 on"
    for python in filter(None, map(shutil.which, PYTHONS)):
        _try(wheel, python, scratch, compiled=True)
    _try(source, sys.executable, scratch, compiled=False, variables=WITHOUT_COMPILER)


def _try(what: Path, python: str, scratch: Path, *, compiled: bool, variables: Mapping[str, str] = {}) -> None:
    print(f"{what.name} on {python}", flush=True)
    place = scratch / "environment"
    subprocess.run([python, "-m", "venv", "--clear", str(place)], check=True)
    binaries = place / "bin"
    environment = {**os.environ, **variables}
    subprocess.run([binaries / "pip", "install", "--quiet", str(what)], check=True, env=environment)
    for name in COMMANDS:
        subprocess.run([binaries / name, "--help"], check=True, stdout=subprocess.DEVNULL)
    assert (place / "share" / "man" / "man1" / "hubfarm.1").is_file(), "no man pages"
    code = (
        "from hubfarm.access.shared import TMPFILES; from hubfarm.samp.xmlrpc import COMPILED; "
        "print(COMPILED, TMPFILES.is_file())"
    )
    ask = [binaries / "python", "-I", "-c", code]  # not from here
    assert subprocess.run(ask, check=True, capture_output=True, text=True).stdout.split() == [str(compiled), "True"]
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as home:  # short, as Unix sockets lie below it
        _run_two_hubs(binaries / "hubfarm", home)


def _run_two_hubs(hubfarm: Path, home: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name not in ("SAMP_HUB", "XDG_RUNTIME_DIR")}

    def run(*arguments: str) -> str:
        command = [hubfarm, *arguments]
        return subprocess.run(command, check=True, env={**kept, "HOME": home}, text=True, stdout=subprocess.PIPE).stdout

    try:
        run("start", "--count", "2", "--group", "mima")
        listing = run("ls")
        print(listing, flush=True)
        assert listing.count("running") == 2
        assert "mima-1" in run("ping", "mima-1")
    finally:
        run("stop", "--all", "--coordinator")


if __name__ == "__main__":
    main()
