"""What was changed about a hub while it runs: who may enter.

It lies in a file of its own until the hub ends, so that every successor has it.  The hub is told by
SIGHUP, and publishes what it is now in its lock file, as all that it is.
"""

from pathlib import Path

import msgspec

from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.paths import Paths
from hubfarm.registry.tickets import mark_of
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import Access


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What was changed.

    Parameters
    ----------
    hub : str
        About which hub; another that bears its id some day is none of it.
    access : Access
        As in `hubfarm.spec.options.HubOptions`.
    allow : tuple of str
        Likewise.
    """

    hub: str
    access: Access
    allow: tuple[str, ...] = ()


def changes_path(paths: Paths, spec: HubSpec) -> Path:
    """Return where the changes of a hub are kept, beside its journal; two hubs of one id have a file each."""
    return paths.journals / f"hub-{spec.id}-{mark_of(spec.id, spec.secret)[:16]}.changes"


def write_changes(path: Path, spec: HubSpec) -> None:
    """Write down what a hub is to be from now on.

    Raises
    ------
    HubfarmError
        The disk is full, or the directory cannot be written.
    """
    changes = Changes(hub=mark_of(spec.id, spec.secret), access=spec.access, allow=spec.allow)
    write_private(path, msgspec.json.encode(changes).decode())


def with_changes(path: Path, spec: HubSpec) -> HubSpec:
    """Return a hub as it was changed; as it is, if it was not.

    Raises
    ------
    HubfarmError
        The file makes no sense: who may enter is not known then, and to let in everybody would be wrong.
    """
    try:
        changes = msgspec.json.decode(read_private(path), type=Changes)
        if changes.hub != mark_of(spec.id, spec.secret):
            return spec
        return msgspec.structs.replace(spec, access=changes.access, allow=changes.allow)
    except FileNotFoundError:
        return spec
    except (OSError, BadLockFile, WrongUse, msgspec.DecodeError) as error:
        raise HubfarmError(f"who may enter the hub {spec.name} stands in {path}, which is damaged: {error}") from None
