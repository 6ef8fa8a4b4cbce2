"""A far host for tests, on this one: another home with a farm of its own, and what stands for ssh.

What stands for it runs the last word of its command by a shell, as sshd does, and says of which line it is.  While a
file ``cut`` lies beside it, it comes to no host.  The real one has its tests in tests/interop.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from hubfarm.farm import Farm
from hubfarm.farm.connecting import ConnectionInfo
from tests.conftest import processes_of

_SSH = """#!/bin/sh
for word; do last=$word; [ "$word" = -O ] && exit 255; done
echo "$@" >> {directory}/commands
[ -e {directory}/cut ] && echo 'ssh: connect to host far port 22: No route to host' >&2 && exit 255
cat {directory}/greeting 2>/dev/null
exec sh -c "$last"
"""


class FarHost:
    """A host named ``far``, with the home of its account.

    Parameters
    ----------
    directory : Path
        Where all of it lies.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.home = directory / "far"
        self.home.mkdir(parents=True)
        self.ssh = directory / "ssh"
        self.ssh.write_text(_SSH.format(directory=directory))
        self.ssh.chmod(0o700)

    def hubfarm(self, *arguments: str) -> str:
        """Run hubfarm there."""
        environment = os.environ | {"HOME": str(self.home)}
        command = [sys.executable, "-m", "hubfarm", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def remote_hubfarm(self) -> str:
        """What the far shell runs as hubfarm."""
        return f"env HOME={self.home} {sys.executable} -m hubfarm"

    def connect(self, farm: Farm, label: str = "tel", **options: object) -> ConnectionInfo:
        """Bring a hub of it to a farm."""
        how = {"ssh": [str(self.ssh)], "remote_hubfarm": self.remote_hubfarm} | options
        return farm.connections.connect(f"ssh://far/{label}", **how)  # type: ignore[arg-type]

    def lock_file(self, label: str = "tel") -> Path:
        """Return the lock file of a hub there."""
        return next(self.home.glob(f".samp-1/.hubfarm/*/by-label/{label}"))

    def cut(self) -> None:
        """Cut the line: nobody comes to the host any more."""
        (self.directory / "cut").touch()
        for agent in self.agents():
            agent.kill()

    def mend(self) -> None:
        """Let ssh come to the host again."""
        (self.directory / "cut").unlink()

    def agents(self) -> list[psutil.Process]:
        """Return the far ends of lines."""
        mark = Path(os.environ["HOME"])
        return [each for each in processes_of(mark) if each.cmdline()[-2:-1] == ["line"]]
