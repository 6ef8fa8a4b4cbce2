"""What a farm wants besides hubs, one kind of it: bridges, say; and what each one's process tells of itself.

That something is wanted is a file by its name: the coordinator starts what is there, and ends what is there no more.
Beside it lie the guard that its process holds, and its state; or, once it was given up, why.
"""

import contextlib
import time
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import guard_is_held
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.checks import is_short_name

_LONGEST = 2**20
"""Of a file, bytes."""


class Named(Protocol):
    """What something is to be: it has a name."""

    @property
    def name(self) -> str:
        """Its name in the farm; see `hubfarm.spec.checks.is_short_name`."""


class Told(Protocol):
    """What a process tells of itself."""

    @property
    def pid(self) -> int:
        """The process."""


Spec = TypeVar("Spec", bound=Named)
State = TypeVar("State", bound=Told)
T = TypeVar("T")


class Wish(msgspec.Struct, Generic[Spec], frozen=True, kw_only=True):
    """One thing that is wanted.

    Parameters
    ----------
    spec
        What it is to be.
    by : str
        Which one it is among all: the older comes before, as text.
    boot : str
        Since which boot of the host: nobody expects it back after another.
    """

    spec: Spec
    by: str
    boot: str


class Failure(msgspec.Struct, Generic[Spec], frozen=True, kw_only=True):
    """One thing that was wanted, and was given up.

    Parameters
    ----------
    spec
        What it was to be.
    reason : str
        Why, for people.
    """

    spec: Spec
    reason: str


class Wished(Generic[Spec, State]):
    """What one farm wants of one kind, on disk.

    Parameters
    ----------
    directory : Path
        Where it lies.
    spec, state : type
        What each is to be, and what its process tells of itself.
    """

    def __init__(self, directory: Path, spec: type[Spec], state: type[State]) -> None:
        self.directory = directory
        self._wish: Any = Wish[spec]  # type: ignore[valid-type]  # made by msgspec
        self._failure: Any = Failure[spec]  # type: ignore[valid-type]
        self._state_type = state

    def want(self, spec: Spec) -> None:
        """Write down that something is wanted.

        Raises
        ------
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        self._remove(self._failed_path(spec.name))
        wish = Wish(spec=spec, by=f"{time.time_ns():016x}", boot=boot_id())
        write_private(self.directory / spec.name, msgspec.json.encode(wish).decode())

    def drop(self, name: str) -> None:
        """Want something no more."""
        self._remove(self.directory / name)
        self._remove(self._failed_path(name))

    def find(self, name: str) -> Wish[Spec] | None:
        """Return what is wanted under a name."""
        return read(self.directory / name, self._wish)

    def all(self) -> list[Wish[Spec]]:
        """Return all that are wanted, by name; what cannot be read is none."""
        return [wish for wish in map(self.find, self._names("")) if wish is not None]

    def _names(self, suffix: str) -> list[str]:
        try:
            names = sorted(path.name for path in self.directory.iterdir() if path.name.endswith(suffix))
        except OSError:
            return []
        return [name for each in names if is_short_name(name := each.removesuffix(suffix))]

    def guard(self, name: str) -> Path:
        """Return the lock that its process holds."""
        return self.directory / f"{name}.guard"

    def state(self, name: str) -> State | None:
        """Return what its process tells of itself; None if there is no process, or it has told nothing yet."""
        return read(self._state_path(name), self._state_type) if guard_is_held(self.guard(name)) else None

    def tell(self, name: str, state: State) -> None:
        """Write down what a process tells of itself."""
        with contextlib.suppress(HubfarmError):  # a disk that is full; it is told again
            write_private(self._state_path(name), msgspec.json.encode(state).decode())

    def give_up(self, wish: Wish[Spec], reason: str) -> None:
        """Want something no more that fails again and again, and keep in mind that it was wanted."""
        name = wish.spec.name
        if self.find(name) == wish:
            with contextlib.suppress(HubfarmError):
                failure = Failure(spec=wish.spec, reason=reason)
                write_private(self._failed_path(name), msgspec.json.encode(failure).decode())
            self._remove(self.directory / name)

    def failed(self) -> list[Failure[Spec]]:
        """Return what was given up, by name, until it is wanted anew or dropped."""
        found = (read(self._failed_path(name), self._failure) for name in self._names(".failed"))
        return [failure for failure in found if failure is not None]

    def clear(self, name: str) -> None:
        """Remove what something has left that is wanted no more."""
        for path in (self.guard(name), self._state_path(name), *self.more_files(name)):
            self._remove(path)

    def more_files(self, name: str) -> list[Path]:
        """Return what else its process keeps."""
        return []

    def _state_path(self, name: str) -> Path:
        return self.directory / f"{name}.state"

    def _failed_path(self, name: str) -> Path:
        return self.directory / f"{name}.failed"

    @staticmethod
    def _remove(path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()


def read(path: Path, kind: type[T]) -> T | None:
    """Return the structure in a file; None if there is none that can be read."""
    try:
        return msgspec.json.decode(read_private(path, most=_LONGEST), type=kind)
    except (OSError, WrongUse, msgspec.DecodeError, RecursionError):
        return None
