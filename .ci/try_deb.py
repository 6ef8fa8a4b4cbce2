"""Build the Debian package, let lintian judge it, install it, run two hubs with it, and remove it; for root on Debian.

``try_deb.py SCRATCH``: it is built there.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".tox", "build", "*.egg-info", "__pycache__", "*.so", "mutants", ".venv")


def main() -> None:
    scratch = Path(sys.argv[1]) / "deb"
    shutil.rmtree(scratch, ignore_errors=True)
    source = scratch / "hubfarm"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("VIRTUAL_ENV", "PYTHON"))}
    environment["DEBIAN_FRONTEND"] = "noninteractive"
    environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    _do("dpkg-buildpackage", "-b", "-us", "-uc", cwd=source, env=environment)
    (changes,) = scratch.glob("*.changes")
    _do("lintian", "--fail-on", "error", "--allow-root", str(changes), env=environment)
    (package,) = (each for each in scratch.glob("hubfarm_*.deb"))
    print(f"{package.name}: {package.stat().st_size / 2**20:.1f} MB", flush=True)
    _do("apt-get", "install", "-y", "-qq", str(package), env=environment)
    try:
        _try(environment)
    finally:
        _do("apt-get", "purge", "-y", "-qq", "hubfarm", env=environment)
    assert not Path("/usr/lib/hubfarm").exists(), "something is left in /usr/lib/hubfarm"


def _try(environment: dict[str, str]) -> None:
    _do("systemd-analyze", "verify", "--man=no", "/lib/systemd/system/hubfarm@.service", env=environment)
    assert Path("/usr/share/man/man1/hubfarm.1.gz").is_file(), "no man page"
    asked = "from hubfarm.samp.xmlrpc import COMPILED; print(COMPILED)"
    done = _do("/usr/lib/hubfarm/bin/python3", "-I", "-c", asked, env=environment, capture_output=True, text=True)
    assert done.stdout == "True\n", "the codec was not compiled"
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as home:  # short, as Unix sockets lie below it
        environment = environment | {"HOME": home}
        try:
            _do("hubfarm", "start", "--count", "2", "--group", "mima", env=environment)
            _do("hubfarm", "ping", "mima-2", env=environment)
        finally:
            _do("hubfarm", "stop", "--all", "--coordinator", env=environment)


def _do(*command: str, **options: object) -> "subprocess.CompletedProcess[str]":
    print(" ".join(command), flush=True)
    return subprocess.run(command, check=True, **options)  # type: ignore[call-overload, no-any-return]


if __name__ == "__main__":
    main()
