"""Hubs' lock files for tests of the registry: claimed by real processes, or written by foreign programs."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.claim import Claim, claim_for
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.spec.hub_spec import HubSpec

FOREIGN_URL = "http://127.0.0.1:9/"

ASTROPY = f"""# SAMP lockfile written on 2026-01-01T00:00:00.000000
# Standard Profile required keys
samp.secret=0123
samp.hub.xmlrpc.url={FOREIGN_URL}
samp.profile.version=1.3
hub.id=4711-1
hub.label=Night
hub.owner.name=luigi
hub.owner.group=oact
"""

JSAMP = f"""# SAMP Standard Profile lockfile written Thu Jan 01 00:00:00 UTC 2026
# Note contact URL hostname may be configured using jsamp.localhost property
samp.secret=0123
samp.hub.xmlrpc.url={FOREIGN_URL.replace(":", chr(92) + ":")}
samp.profile.version=1.3
"""


def tokens(spec: HubSpec, paths: Paths, pid: int) -> dict[str, str]:
    """Return a whole lock file's tokens, as a worker publishes them."""
    required = {"samp.secret": "s", "samp.hub.xmlrpc.url": FOREIGN_URL, "samp.profile.version": "1.3"}
    where = {"hubfarm.host": paths.host, "hubfarm.pid": str(pid), "hubfarm.boot": boot_id(), "hubfarm.kind": "farm"}
    return {**required, **spec.tokens(), **where}


def publish(paths: Paths, number: int = 1, label: str = "", path: Path | None = None) -> Claim:
    """Claim and publish a hub in this process."""
    spec = HubSpec(id=number, label=label)
    claim = claim_for(spec, LockDir(paths), path=path)
    try:
        claim.publish(tokens(spec, paths, os.getpid()))
    except BaseException:
        claim.withdraw()
        raise
    return claim


_HUB = """
import sys
from hubfarm.registry.paths import Paths
from tests.registry.registry_support import publish
claim = publish(Paths.from_environment().prepare(), int(sys.argv[1]), sys.argv[2])
print(claim.path, flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def hub_process(number: int = 1, label: str = "") -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Run a process that holds and has published a hub; it never withdraws."""
    command = [sys.executable, "-c", _HUB, str(number), label]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def dead_hub(number: int = 1, label: str = "") -> Path:
    """Return the lock file of a hub that was killed."""
    with hub_process(number, label) as (_, path):
        return path


def dead_pid() -> int:
    """Return the PID of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def make_old(path: Path, seconds: float = 3600) -> Path:
    """Set the time of a file back."""
    then = time.time() - seconds
    os.utime(path, (then, then), follow_symlinks=False)
    return path
