"""``astropy.samp.lockfile_helpers``: lock files read, written and asked about, by what we have for it."""

import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

from hubfarm.client.background import borrowed
from hubfarm.client.discovery import Choice, answering_hubs
from hubfarm.client.proxy import SAMPHubProxy
from hubfarm.farm import Farm
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.paths import Paths
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, WrongUse
from hubfarm.samp.toolkit import SAMP_HUB_SINGLE_INSTANCE, SAMPHubError, SAMPWarning
from hubfarm.standard_hub import PING_TIMEOUT, living_hub, standard_lock_file

__all__ = [
    "check_running_hub",
    "create_lock_file",
    "get_main_running_hub",
    "get_running_hubs",
    "read_lockfile",
    "remove_garbage_lock_files",
    "write_lockfile",
]


def read_lockfile(lockfilename: str | os.PathLike[str]) -> dict[str, str]:
    """Return a lock file's content.

    Parameters
    ----------
    lockfilename : path or str
        Its path or its URL (``file:``, ``http:``, ``https:``).

    Raises
    ------
    OSError
        It cannot be read.
    BadLockFile
        It is no lock file.
    """
    name = os.fspath(lockfilename)
    if urlsplit(name).scheme in ("http", "https"):
        with urlopen(name, timeout=PING_TIMEOUT) as response:
            return lockfile.parse(response.read().decode("utf-8", "replace"))
    path = lockfile.file_path(name) if name.startswith("file:") else Path(name)
    return lockfile.parse(read_private(path, follow=True))


def write_lockfile(lockfilename: str | os.PathLike[str], lockfiledict: Mapping[str, str]) -> None:
    """Write a lock file whole (mode 0600).

    Raises
    ------
    OSError
        It cannot be written.
    BadLockFile
        A lock file cannot hold this.
    """
    written = time.strftime("%Y-%m-%dT%H:%M:%S")
    write_private(Path(lockfilename), lockfile.write(lockfiledict, f"SAMP lock file written on {written}"))


def check_running_hub(lockfilename: str | os.PathLike[str]) -> tuple[bool, dict[str, str]]:
    """Return whether the hub of a lock file answers, and the file's content; empty if it cannot be read."""
    try:
        tokens = read_lockfile(lockfilename)
    except (OSError, BadLockFile):
        return False, {}
    url = tokens.get(lockfile.URL)
    return bool(url and answering_hubs([url])), tokens


def get_running_hubs() -> dict[str, dict[str, str]]:
    """Return the hubs that answer: lock file to its content; see `SAMPHubProxy.get_running_hubs`."""
    return SAMPHubProxy.get_running_hubs()


def get_main_running_hub() -> dict[str, str]:
    """Return the content of the lock file that ``SAMP_HUB`` or ``~/.samp`` names.

    Raises
    ------
    SAMPHubError
        No hub answers there.
    """
    with borrowed() as background:
        tokens = background.run(Choice().tokens())
    if not answering_hubs([tokens[lockfile.URL]]):
        raise SAMPHubError(f"no hub answers at {tokens[lockfile.URL]}, which the lock file names")
    return tokens


def create_lock_file(
    lockfilename: str | None = None,
    mode: str | None = None,
    hub_id: str | None = None,
    hub_params: Mapping[str, str] | None = None,
) -> str | bool:
    """Write the lock file of a hub of the caller's own; warn and return False where a living hub has one.

    Parameters
    ----------
    lockfilename : str, optional
        Where, if ``SAMP_HUB`` names no other place.
    mode : str, optional
        Without a name: `SAMP_HUB_SINGLE_INSTANCE` for ``~/.samp``, else ``~/.samp-1/samp-hub-<hub_id>``.
    hub_id : str, optional
        The hub's.
    hub_params : dict, optional
        The content.

    Returns
    -------
    str or bool
        The lock file's path, or False.
    """
    paths = Paths.from_environment().prepare()
    try:
        if os.environ.get("SAMP_HUB") or (lockfilename is None and mode == SAMP_HUB_SINGLE_INSTANCE):
            path = standard_lock_file(paths)
        else:
            path = Path(lockfilename or paths.lockdir / f"samp-hub-{hub_id}")
    except WrongUse as error:
        warnings.warn(f"cannot write a lock file: {error}", SAMPWarning, stacklevel=2)
        return False
    if hub := living_hub(path, paths):
        warnings.warn(
            f"a hub runs already with the lock file {path}, at {hub.url}: it stays", SAMPWarning, stacklevel=2
        )
        return False
    write_lockfile(path, hub_params or {})
    return str(path)


def remove_garbage_lock_files() -> None:
    """Remove what dead hubs left, as ``hubfarm gc`` does: what may live stays."""
    Farm().gc()
