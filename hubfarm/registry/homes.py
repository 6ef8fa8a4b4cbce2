"""A home of links: what a program is shown for its user's home, in which ``.samp`` is one hub's lock file.

For programs that look for ``~/.samp`` and nowhere else.  All else in it leads to the user's own home, so that
settings and data are where they always are.  What the program makes there anew goes to the user's home once the
program has ended.

Rule: the program holds the guard of its home, as a hub holds its own; a home whose guard is free is nobody's.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from hubfarm.registry.files import points_to
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import Lock, guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError

_LOCK_FILE = ".samp"


def make_home(paths: Paths, program: str, user_home: Path, lock_file: Path, keeps: Iterable[str]) -> Path:
    """Make a home of links for the program that is to take this process's place, and return it.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie; prepared.
    program : str
        Its name, for people.
    user_home : Path
        What the links lead to.
    lock_file : Path
        The hub's; its stable name, if it has one.
    keeps : iterable of str
        Directories in the user's home that the program would make: they are made there, if they are missing.

    Raises
    ------
    HubfarmError
        The home cannot be read, or the disk is full.
    """
    try:
        with LockDir(paths).mutex():  # a sweep must not find it before its guard is held
            place = Path(tempfile.mkdtemp(prefix=f"{program}-", dir=paths.homes))
            guard = Lock(_guard(place))
            guard.acquire(timeout=0)
        guard.keep_over_exec()
        home = place / "home"
        home.mkdir(mode=0o700)
        (place / "of").symlink_to(user_home)
        for name in keeps:
            with contextlib.suppress(FileExistsError):
                (user_home / name).mkdir()
        for name in os.listdir(user_home):
            if name != _LOCK_FILE:
                (home / name).symlink_to(user_home / name)
        (home / _LOCK_FILE).symlink_to(lock_file)
    except OSError as error:
        raise HubfarmError(f"cannot make a home for {program}: {error.filename}: {error.strerror}") from None
    return home


def is_lived_in(place: Path) -> bool:
    """Tell whether the program of a home of links still runs; `place` is one in `Paths.homes`."""
    return guard_is_held(_guard(place))


def clear_home(place: Path) -> list[str]:
    """Remove a home of links that nobody lives in; return the names of what has to stay, as the user's home has them.

    Raises
    ------
    OSError
        Something cannot be moved or removed.
    """
    home, link = place / "home", place / "of"
    user_home = Path(os.readlink(link)) if link.is_symlink() else None
    staying = []
    for name in os.listdir(home) if home.is_dir() else ():
        if name == _LOCK_FILE or (user_home is not None and points_to(home / name, user_home / name)):
            continue
        if user_home is None or not user_home.is_dir() or os.path.lexists(user_home / name):
            staying.append(name)
        else:
            shutil.move(home / name, user_home / name)
    if not staying:
        shutil.rmtree(place)
    return sorted(staying)


def _guard(place: Path) -> Path:
    return place / "guard"
