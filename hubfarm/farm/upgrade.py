"""Bring what runs to the release that is installed: the coordinator first, then one hub after the other.

Their clients stay: a new coordinator adopts the hubs, and a hub that is restarted in order hands its clients on to its
successor.  So that nothing is given up for a release that does not work, it is tried before anything is ended: it has
to run a farm of its own, and to read what each hub would leave to its successor.

A coordinator of another release is ended by SIGKILL.  It may not understand what we ask, and hubs outlive that.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.states import HubKind
from hubfarm.version import __version__, in_order

if TYPE_CHECKING:
    from hubfarm.control.protocol import Hello
    from hubfarm.registry.listing import HubInfo

TRIAL_TIMEOUT = 60.0
"""How long the release that is installed may take to run a farm, seconds."""

SERVICE_GRACE = 2.0
"""How long a service manager that we do not know of may take to replace a coordinator that was killed, seconds."""

SYSTEMD_GRACE = 20.0
"""How long systemd may take for it, which certainly does: a loaded machine loads slowly."""

_TRIAL = """
from hubfarm import Farm
farm = Farm()
farm.start()
farm.stop(everything=True, coordinator=True)
"""


class Fate(StrEnum):
    """What an upgrade does with something that runs."""

    CURRENT = "current"
    """It runs the installed release already."""
    REPLACE = "replace"
    LEAVE = "leave"
    """It ends with the program that runs it, and is upgraded with that."""


@dataclass(frozen=True, slots=True)
class Part:
    """A coordinator or a hub, and what an upgrade does with it.

    Parameters
    ----------
    name : str
        ``coordinator``, or what the hub is called.
    kind : str
        ``coordinator``, or the hub's kind.
    pid : int
        Its process.
    release : str
        The release that it runs; empty for one before 0.2.0, which did not say.
    fate : Fate
        What is done with it.
    id : int or None
        The hub's number.
    """

    name: str
    kind: str
    pid: int
    release: str
    fate: Fate
    id: int | None = None


def parts_of(coordinator: "Hello | None", hubs: "list[HubInfo]") -> list[Part]:
    """Return what runs, in the order in which it is upgraded.

    Parameters
    ----------
    coordinator : Hello or None
        What the coordinator says of itself, if one runs.
    hubs : list of HubInfo
        The hubs that live.

    Raises
    ------
    WrongUse
        One of them runs a later release than this one.
    """
    parts = []
    if coordinator is not None:
        fate = Fate.CURRENT if coordinator.release == __version__ else Fate.REPLACE
        parts.append(Part("coordinator", "coordinator", coordinator.pid, coordinator.release, fate))
    for hub in hubs:
        if hub.pid is None or hub.kind in (HubKind.FOREIGN, HubKind.CONNECTED):
            continue  # the door of a hub elsewhere is replaced with the coordinator
        fate = Fate.CURRENT if hub.version == __version__ else Fate.REPLACE
        if hub.kind is not HubKind.FARM and fate is Fate.REPLACE:
            fate = Fate.LEAVE
        parts.append(Part(hub.name, str(hub.kind), hub.pid, hub.version, fate, hub.id))
    for part in parts:
        if in_order(part.release) > in_order(__version__):
            raise WrongUse(
                f"{part.name} runs hubfarm {part.release}, and this is {__version__}: to go back to an earlier "
                "release, end the farm first (hubfarm stop --all --coordinator)"
            )
    return parts


def try_release() -> None:
    """Let the release that is installed run a farm in a home of its own.

    Raises
    ------
    HubfarmError
        It does not; nothing that runs was touched.
    """
    dropped = ("HUBFARM_", "SAMP_HUB", "XDG_", "NOTIFY_SOCKET")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    with tempfile.TemporaryDirectory(prefix="hubfarm-trial-", dir="/tmp") as home:
        try:
            subprocess.run(
                [sys.executable, "-c", _TRIAL],
                env=kept | {"HOME": home},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=TRIAL_TIMEOUT,
                check=True,
            )
        except subprocess.TimeoutExpired:
            reason = f"its trial farm was not done within {TRIAL_TIMEOUT:g} s"
        except subprocess.CalledProcessError as failed:
            reason = (failed.stderr.strip().splitlines() or [f"exit code {failed.returncode}"])[-1]
        except OSError as error:
            reason = f"{sys.executable}: {error.strerror}"
        else:
            return
    raise HubfarmError(f"hubfarm {__version__} does not run here, so nothing was touched: {reason}")


def check_journals(paths: Paths, hubs: "list[HubInfo]") -> None:
    """Look whether this release can go on from what each hub keeps.

    Raises
    ------
    HubfarmError
        It cannot; the message names the file.
    """
    from hubfarm.hub.keep.journal import check_journal
    from hubfarm.samp.lockfile import SECRET, parse

    for hub in hubs:
        if hub.kind is HubKind.FARM and hub.id is not None:
            check_journal(paths.journal(hub.id), parse(hub.lock_file.read_text()).get(SECRET, ""))


def is_of_service(pid: int) -> bool:
    """Tell whether a process is one of a service of systemd; a login's or a desktop's is not."""
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return False
    return any(line.endswith(".service") for line in groups)


def replace_coordinator(pid: int, hello: "Callable[[], Hello | None]", ensure: Callable[[], None]) -> None:
    """End a coordinator of another release, and return once one of this release has its hubs.

    Parameters
    ----------
    pid : int
        Its process.
    hello : callable
        Returns what the coordinator says of itself, None if none runs.
    ensure : callable
        Starts a coordinator if none runs.

    Raises
    ------
    HubfarmError
        None could be started; the hubs serve on.
    """
    grace = SYSTEMD_GRACE if is_of_service(pid) else SERVICE_GRACE
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline:
        answers = hello()
        if answers is not None and answers.pid != pid:
            return
        time.sleep(0.05)
    ensure()


def replace_hubs(parts: list[Part], restart: Callable[[str], object], progress: Callable[[str], None]) -> None:
    """Restart hubs one after the other.

    Parameters
    ----------
    parts : list of Part
        All that runs.
    restart : callable
        Restarts the hub of this name.
    progress : callable
        Told the name of each as it serves again.

    Raises
    ------
    HubfarmError
        One did not come back; the message says which ones run which release now.
    """
    waiting = [part for part in parts if part.fate is Fate.REPLACE and part.kind == HubKind.FARM]
    done: list[str] = []
    for part in waiting:
        try:
            restart(part.name)
        except HubfarmError as error:
            left = ", ".join(other.name for other in waiting[len(done) + 1 :]) or "none"
            raise HubfarmError(
                f"the hub {part.name} did not come back under hubfarm {__version__}: {error}; upgraded: "
                f"{', '.join(done) or 'none'}; serving on as they were: {left}"
            ) from None
        done.append(part.name)
        progress(part.name)
