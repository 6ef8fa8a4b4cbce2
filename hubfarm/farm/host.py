"""The farms of all accounts of this host, for root: looked at, and ended.

What lies in an account's home is that account's: it may be a link to anything, a pipe that never ends, or rubbish.  So
it is read by a process that has become that account for good, has little time and memory, and tells by a pipe; what it
tells is checked as anybody's.  The account cannot take hold of that process: one that has given up root's rights cannot
be traced by its new equals (ptrace(2), *dumpable*).
"""

import contextlib
import json
import os
import pwd
import resource
import select
import signal
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NoReturn

import msgspec
import psutil

import hubfarm.control
import hubfarm.registry
from hubfarm.registry.listing import HubInfo, found_hubs
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse

LOOK_TIMEOUT = 5.0
"""How long looking at one account's farm may take, seconds."""

AT_ONCE = 16
"""So many accounts are looked at side by side."""

MOST_TOLD = 4 * 2**20
"""So much one account may tell, bytes: a thousand hubs take half of it."""

_MOST_MEMORY = 2**30
"""Address space that a process that looks may take beside what it is born with, bytes."""


@dataclass(frozen=True, slots=True)
class AccountFarm:
    """What an account runs.

    Parameters
    ----------
    account : str
        Its name.
    hubs : list of HubInfo
        Those that live, with the memory that each takes.
    memory : int
        What all processes of its farm take, coordinator and forkserver too: their proportional share (PSS), bytes.
    problem : str
        Why nothing of its hubs is known; empty if something is.
    """

    account: str
    hubs: list[HubInfo]
    memory: int
    problem: str = ""


def check_root(what: str) -> None:
    """Refuse to look into the homes of others without root's rights.

    Raises
    ------
    WrongUse
        This process has none.
    """
    if os.geteuid() != 0:
        raise WrongUse(f"{what} concerns other accounts, so it takes root: sudo hubfarm …")


def all_farms() -> list[AccountFarm]:
    """Return the farms of all accounts of this host that have a hub or a process of hubfarm.

    Raises
    ------
    WrongUse
        This process is not root's.
    """
    check_root("--all-users")
    _load_what_is_needed()
    processes = _processes()
    farms = []
    accounts = _accounts(processes)
    for first in range(0, len(accounts), AT_ONCE):
        lookers = [_Looker(account) for account in accounts[first : first + AT_ONCE]]
        deadline = time.monotonic() + LOOK_TIMEOUT
        for looker in lookers:
            hubs, problem = looker.told(deadline)
            own = processes.get(looker.account.pw_uid, {})
            own |= _memory_of({hub.pid for hub in hubs if hub.pid} - own.keys(), looker.account.pw_uid)
            if hubs or own or problem:
                hubs = [replace(hub, account=looker.account.pw_name, memory=own.get(hub.pid or 0)) for hub in hubs]
                farms.append(AccountFarm(looker.account.pw_name, hubs, sum(own.values()), problem))
    return sorted(farms, key=lambda farm: farm.account)


def _accounts(running: Collection[int]) -> list[pwd.struct_passwd]:
    """Return each account once: those that the host lists, and those that run something, as a directory lists none."""
    found = {entry.pw_uid: entry for entry in reversed(pwd.getpwall())}
    for uid in running:
        with contextlib.suppress(KeyError):
            found.setdefault(uid, pwd.getpwuid(uid))
    return [entry for entry in found.values() if os.path.isabs(entry.pw_dir)]


def _processes() -> dict[int, dict[int, int]]:
    """Return the memory of each process of hubfarm by its PID, by account."""
    found: dict[int, dict[int, int]] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError, IndexError):
            if process.cmdline()[0].startswith("hubfarm "):
                found.setdefault(process.uids().real, {})[process.pid] = process.memory_full_info().pss
    return found


def _memory_of(pids: Collection[int], uid: int) -> dict[int, int]:
    """Return the memory of other programs that hold a hub; what an account says of another's process counts nothing."""
    found = {}
    for pid in pids:
        with contextlib.suppress(psutil.Error, OSError, ValueError):
            process = psutil.Process(pid)
            if process.uids().real == uid:
                found[pid] = process.memory_full_info().pss
    return found


class _Looker:
    """A process that looks at an account's farm as that account."""

    def __init__(self, account: pwd.struct_passwd) -> None:
        self.account = account
        self._pipe, there = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _look(account, there)
        os.close(there)

    def told(self, deadline: float) -> tuple[list[HubInfo], str]:
        """Return the hubs that it has seen, or why none; it has ended then."""
        try:
            return _read_hubs(b"".join(self._chunks(deadline)))
        except HubfarmError as error:
            return [], str(error)
        finally:
            os.close(self._pipe)
            os.kill(self._pid, signal.SIGKILL)  # our child until we wait for it, so its PID is nobody else's
            os.waitpid(self._pid, 0)

    def _chunks(self, deadline: float) -> Iterator[bytes]:
        size = 0
        while True:
            ready, _, _ = select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise HubfarmError(f"looking took more than {LOOK_TIMEOUT:g} s")
            chunk = os.read(self._pipe, 2**16)
            size += len(chunk)
            if size > MOST_TOLD:
                raise HubfarmError(f"there is more to tell than {MOST_TOLD} bytes")
            if not chunk:
                return
            yield chunk


def _look(account: pwd.struct_passwd, there: int) -> NoReturn:
    told: dict[str, Any] = {"hubs": [], "problem": ""}
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = psutil.Process().memory_info().vms + _MOST_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        give_up_root(account)
        if os.path.lexists(Path(account.pw_dir, ".samp-1")):
            paths = Paths.from_environment({"HOME": account.pw_dir})
            hubs = found_hubs(LockDir(paths), lambda urls: ())  # foreign hubs are asked nothing
            told["hubs"] = [hub.as_json() for hub in hubs if hub.alive]
    except PermissionError:
        pass  # a home that is closed to its own account
    except Exception as error:
        told["problem"] = str(error) or type(error).__name__
    with contextlib.suppress(OSError), os.fdopen(there, "wb") as pipe:
        pipe.write(json.dumps(told).encode())
    os._exit(0)


class _Told(msgspec.Struct):
    hubs: list[HubInfo]
    problem: str


def _read_hubs(text: bytes) -> tuple[list[HubInfo], str]:
    try:
        told = msgspec.json.decode(text, type=_Told, dec_hook=lambda kind, value: kind(value))
    except (msgspec.DecodeError, RecursionError, TypeError):
        raise HubfarmError("what it told makes no sense") from None
    return told.hubs, told.problem


# ---------------------------------------------------------------------- as another account


def _load_what_is_needed() -> None:
    """Load what is loaded at its first use: an account may not get to where this Python lies."""
    for room in (hubfarm.registry, hubfarm.control):
        for module in iter_modules(room.__path__, f"{room.__name__}."):
            import_module(module.name)
    for name in _NEEDED:
        import_module(name)


_NEEDED = (
    "hubfarm.access.genuine",
    "hubfarm.access.shared",
    "hubfarm.farm.ending",
    "filelock",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
)
"""What reading an account's farm and ending its hubs takes, beside the rooms of files and of the control protocol."""


def give_up_root(account: pwd.struct_passwd) -> None:
    """Become another account, for good."""
    os.initgroups(account.pw_name, account.pw_gid)
    os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
    os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
    os.chdir("/")


def become(name: str) -> None:
    """Go on as another account, in its home: what is done from now on is what it could do itself.

    Raises
    ------
    WrongUse
        There is no such account, or this process is not root's.
    """
    check_root("--user")
    try:
        account = pwd.getpwnam(name)
    except KeyError:
        raise WrongUse(f"there is no account {name!r} on this host") from None
    _load_what_is_needed()
    give_up_root(account)
    for variable in [each for each in os.environ if each.startswith(("HUBFARM_", "XDG_", "SAMP_HUB"))]:
        del os.environ[variable]
    os.environ |= {"HOME": str(Path(account.pw_dir)), "USER": name, "LOGNAME": name}
    os.environ.setdefault("SUDO_USER", "root")  # so the account's history says who asked
