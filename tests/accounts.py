"""Accounts of this host, made for a test; and what is done as one of them, in a process of its own.

The farm of most tests is that of the account which runs them, root mostly, and `as_account` is another's client.  Where
all are to be ordinary accounts, A has a farm of its own, by `command_as`.
"""

import encodings.ascii  # what the account may not be able to read
import encodings.idna  # noqa: F401
import fcntl
import multiprocessing
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest

from tests.support import PATIENCE

A, B, C = "hubfarm-t-a", "hubfarm-t-b", "hubfarm-t-c"
GROUP = "hubfarm-t-mima"
"""B is of this group too."""


@contextmanager
def making_accounts() -> Iterator[None]:
    """Be the one test of this host that has accounts made; those that a killed one has left are removed."""
    if os.geteuid() or not shutil.which("useradd"):
        pytest.skip("making accounts takes root and useradd")
    with open("/tmp/hubfarm-t-accounts", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _clear()
        try:
            yield
        finally:
            _clear()


@contextmanager
def three_accounts() -> Iterator[None]:
    """Make the accounts, and remove them."""
    with making_accounts():
        _run("groupadd", GROUP)
        for name in (A, B, C):
            _run("useradd", "--no-create-home", "--home-dir", "/nonexistent", name)
        _run("usermod", "--append", "--groups", GROUP, B)
        yield


def _clear() -> None:
    for command in (["userdel", A], ["userdel", B], ["userdel", C], ["groupdel", GROUP]):
        subprocess.run(command, check=False, capture_output=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def as_account(account: str, work: Callable[[], Any], home: Path | None = None) -> Any:
    """Return what a function returns, or raise what it raises, that is run by another account.

    By a fork of this process: the account may not be able to read its interpreter.  So what the function needs
    has to be imported already.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)

    def run() -> None:
        entry = pwd.getpwnam(account)
        os.initgroups(account, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        if home is not None:
            os.environ["HOME"] = str(home)
        try:
            there.send((True, work()))
        except Fault as fault:  # which cannot be pickled
            there.send((False, (fault.faultCode, fault.faultString)))
        except BaseException as error:
            there.send((False, error))

    process = context.Process(target=run, daemon=True)
    process.start()
    there.close()
    try:
        assert here.poll(PATIENCE), f"{account} has not come to an end"
        succeeded, result = here.recv()
    finally:
        process.join(PATIENCE)
        process.kill()
        here.close()
    if succeeded:
        return result
    raise Fault(*result) if isinstance(result, tuple) else result


_READ = "+dac_read_search"


def python_as(account: str) -> list[str]:
    """Return how another account starts this interpreter.

    One that lies where the account may not read (root's own pyenv) is lent it by a capability to read; it is the one
    thing that such an account can do more than others.
    """
    line = ["setpriv", "--reuid", account, "--regid", account, "--init-groups"]
    if not as_account(account, lambda: os.access(sys.executable, os.X_OK)):
        line += ["--inh-caps", _READ, "--ambient-caps", _READ]
    return [*line, sys.executable]


def command_as(account: str, *command: str, home: Path) -> "subprocess.CompletedProcess[str]":
    """Run ``hubfarm`` by another account, with a home of its own: ``command_as(A, "start", home=home)``."""
    return subprocess.run(
        [*python_as(account), "-m", "hubfarm", *command],
        env=os.environ | {"HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
    )
