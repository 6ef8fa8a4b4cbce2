"""What should exist: the hubs that are wanted, whether a process is one just now or not.

A lock file says who runs, and anybody may remove it; between two workers there is nobody to put it back.  That a hub is
wanted is written down here, a file a hub under ``wanted/``, by its label.  The coordinator writes it once the hub has
served for the first time, and whenever a successor is to come.  It is removed at the hub's end: by its own process if
that ends in order, by the coordinator if the hub is stopped or given up, by a sweep if it died and no coordinator runs.
"""

import contextlib
from pathlib import Path

import msgspec

from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart


class Wish(msgspec.Struct, frozen=True):
    """One hub that is wanted.

    Parameters
    ----------
    spec : HubSpec
        What it is to be.
    boot : str
        Since which boot of the host: nobody expects it back after another.
    asleep : bool
        It sleeps: it is to come back as that.
    """

    spec: HubSpec
    boot: str
    asleep: bool = False


class Wanted:
    """The hubs that are wanted in one farm.

    Parameters
    ----------
    paths : Paths
        Where the farm's files lie.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths

    def want(self, spec: HubSpec, *, asleep: bool = False) -> None:
        """Write down that a hub is wanted, in place of what was known of it.

        Raises
        ------
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        if spec.label:  # hubs of a farm have one
            write_private(self._path(spec.label), msgspec.json.encode(Wish(spec, boot_id(), asleep)).decode())

    def drop(self, spec: HubSpec) -> None:
        """Want a hub no more; one that has taken its label since stays wanted."""
        wish = self.find(spec.label)
        if wish is not None and wish.spec.id == spec.id:
            with contextlib.suppress(OSError):
                self._path(spec.label).unlink()

    def find(self, label: str) -> Wish | None:
        """Return what is wanted under a label."""
        return _read(self._path(label)) if label else None

    def all(self) -> list[Wish]:
        """Return all hubs that are wanted, by their ids; what cannot be read is none."""
        wishes = (_read(path) for path in self.files())
        return sorted((wish for wish in wishes if wish is not None), key=lambda wish: wish.spec.id)

    def files(self) -> list[Path]:
        """Return the files there are, for a sweep."""
        try:
            return sorted(self._paths.wanted.iterdir())
        except OSError:
            return []

    def looked_after(self) -> set[int]:
        """Return the ids of the hubs that a living coordinator brings back if they die; none if none lives."""
        if not guard_is_held(self._paths.coordinator_guard):
            return set()
        return {wish.spec.id for wish in self.all() if wish.asleep or wish.spec.restart is not Restart.NEVER}

    def check_label_free(self, label: str, *, but_for: int) -> None:
        """Refuse the label of a hub that a living coordinator brings back, if it is not the hub with the id `but_for`.

        Raises
        ------
        WrongUse
            It is in use; the message says by which hub.
        """
        wish = self.find(label)
        if wish is None or wish.spec.id == but_for or not guard_is_held(self._paths.coordinator_guard):
            return
        raise WrongUse(
            f"the label {label} is in use by the hub {wish.spec.id}, which comes back: choose another or stop that hub"
        )

    def _path(self, label: str) -> Path:
        return self._paths.wanted / label


def _read(path: Path) -> Wish | None:
    if path.name.startswith(".new-"):  # half written
        return None
    try:
        return msgspec.json.decode(read_private(path), type=Wish)
    except (OSError, WrongUse, msgspec.DecodeError, RecursionError):
        return None
