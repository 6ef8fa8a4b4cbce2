"""The guard that makes a process the coordinator: who holds it is."""

from hubfarm.registry.files import file_identity
from hubfarm.registry.locks import Lock
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError


class CoordinatorGuard:
    """The guard that makes this process the coordinator.

    Parameters
    ----------
    paths : Paths
        Where it lies.

    Raises
    ------
    HubfarmError
        Another process holds it.
    """

    def __init__(self, paths: Paths) -> None:
        self._path = paths.coordinator_guard
        self._take()

    def _take(self) -> None:
        lock = Lock(self._path)
        try:
            lock.acquire(timeout=0)
        except TimeoutError:
            raise HubfarmError(f"a coordinator runs already: it holds {self._path}") from None
        except OSError as error:
            raise HubfarmError(f"cannot take the coordinator's guard {self._path}: {error.strerror}") from None
        self._lock = lock
        self._identity = file_identity(self._path.stat())

    def mend(self) -> bool:
        """Take the guard again if its file was removed; tell whether it was so.

        Raises
        ------
        HubfarmError
            Another coordinator has it now.
        """
        try:
            if file_identity(self._path.stat()) == self._identity:
                return False
        except OSError:
            pass
        self._take()
        return True
