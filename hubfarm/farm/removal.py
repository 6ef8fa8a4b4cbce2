"""What hubfarm has left in an account, and its removal: nothing of ours stays, and nothing of others goes.

The package itself is pip's, or the system's, to remove; farm files that lie elsewhere are their owner's.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hubfarm.farm.unit import Service
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import settings_path
from hubfarm.samp.errors import HubfarmError

SECRETS = "holds secrets"


@dataclass(frozen=True, slots=True)
class Remain:
    """Something that hubfarm has left.

    Parameters
    ----------
    what : str
        What it is.
    path : Path
        Where it lies.
    stays : str
        Why it is not removed; empty if it is.
    note : str
        What else there is to know.
    """

    what: str
    path: Path
    stays: str = ""
    note: str = ""


def remains(paths: Paths, environ: Mapping[str, str] = os.environ) -> list[Remain]:
    """Return what there is of hubfarm in this account, in the order in which it is removed.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    environ : mapping of str to str
        Where the settings lie.
    """
    return [each for each in _all(paths, environ) if os.path.lexists(each.path)]


def _all(paths: Paths, environ: Mapping[str, str]) -> Iterator[Remain]:
    unit = Service(environ=environ).status()
    yield Remain("service", unit.unit, "" if unit.installed else "hubfarm service install did not write it")
    if _leads_to_us(paths.single, paths):
        yield Remain("link of yours to a hub", paths.single)
    yield from (Remain("hub shared with others", path) for path in _shared(paths))
    yield Remain("state", paths.runtime, note=f"{SECRETS}: users, tickets, journals; logs and history")
    if paths.runtime.is_relative_to(paths.lockdir):
        for other in sorted(_names(paths.runtime.parent) - {paths.runtime.name}):
            yield Remain("state", paths.runtime.parent / other, "of another host: hubfarm uninstall there")
        yield Remain("state of all hosts", paths.runtime.parent)
    for name in sorted(_names(paths.lockdir)):
        if name.startswith("samp-hub"):
            yield Remain("lock file", paths.lockdir / name, "its hub may live, or is another program's")
    yield Remain("lock files", paths.lockdir)
    settings = settings_path(environ)
    yield Remain("settings", settings)
    if not environ.get("HUBFARM_CONFIG"):
        yield Remain("farm file", settings.with_name("farm.toml"))
        yield Remain("settings", settings.parent)


def remove(found: list[Remain], paths: Paths, environ: Mapping[str, str] = os.environ) -> list[Remain]:
    """Remove what `remains` has found, and return what stays, and why.

    Directories that hold something else stay with it.

    Parameters
    ----------
    found : list of Remain
        All of it.
    paths, environ
        See `remains`.

    Raises
    ------
    HubfarmError
        Something cannot be removed.
    """
    left = []
    for each in found:
        if each.stays:
            left.append(each)
            continue
        try:
            why = _remove(each, paths, environ)
        except OSError as error:
            raise HubfarmError(f"cannot remove {error.filename or each.path}: {error.strerror}") from None
        if why:
            left.append(Remain(each.what, each.path, why))
    return left


def _remove(each: Remain, paths: Paths, environ: Mapping[str, str]) -> str:
    """Remove one of them; return why it stays, if it does."""
    if each.what == "service":
        Service(environ=environ).uninstall()
    elif each.path == paths.runtime:
        for path in paths.contents:
            _remove_whole(path)
        return _remove_empty(each.path)
    elif stat.S_ISDIR(each.path.lstat().st_mode):
        return _remove_empty(each.path)
    else:
        each.path.unlink()
    return ""


def _remove_whole(path: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it; no link is followed."""
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    except FileNotFoundError:
        pass


def _remove_empty(directory: Path) -> str:
    names = _names(directory)
    if not names:
        directory.rmdir()
        return ""
    return f"there is something else in it: {', '.join(sorted(names)[:3])}"


def _names(directory: Path) -> set[str]:
    try:
        return set(os.listdir(directory))
    except OSError:
        return set()


def _leads_to_us(link: Path, paths: Paths) -> bool:
    try:
        target = Path(os.readlink(link))
    except OSError:
        return False
    return paths.by_label in target.parents


def _shared(paths: Paths) -> list[Path]:
    """Return the lock files in the shared directory that are this account's."""
    mine = f"hub-{os.getuid()}-"
    found = [paths.shared / name for name in sorted(_names(paths.shared)) if name.startswith(mine)]
    return [path for path in found if path.lstat().st_uid == os.getuid()]
