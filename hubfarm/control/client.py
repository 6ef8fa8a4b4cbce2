"""The asking end of the control protocol: what ``hubfarm`` commands ask of a coordinator."""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

from hubfarm.control.protocol import (
    AnyEvent,
    Coordinator,
    CoordinatorStatus,
    Done,
    Failed,
    Hello,
    Hub,
    HubStatus,
    NoCoordinator,
    OtherVersion,
    Request,
    Restart,
    Shutdown,
    Sleep,
    Start,
    Status,
    Stop,
    Wake,
    check_same_version,
    decode_event,
    decode_hello,
    encode,
    hello,
)
from hubfarm.registry.unix_socket import peer_process
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest
from hubfarm.version import __version__

ANSWER_TIMEOUT = 10.0
"""How long a coordinator may take to answer what needs no hub, seconds."""


class ControlClient:
    """Asks the coordinator behind one control socket.

    All that it does raises `NoCoordinator` if none answers or it is ending, and `OtherVersion` if it speaks another
    version of the protocol; nothing was done then.

    Parameters
    ----------
    path : Path
        The control socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def hello(self) -> Hello | None:
        """Return what the coordinator says first, of whatever release it is, None if none answers.

        One before 0.2.0 said nothing of the kind: its release is empty.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(ANSWER_TIMEOUT)
                connection.connect(str(self._path))
                with contextlib.suppress(ConnectionError):
                    connection.sendall(encode(hello()) + encode(Status()))
                with connection.makefile("rb") as lines, contextlib.suppress(WrongUse, ConnectionError):
                    return decode_hello(lines.readline())
                return Hello("", "1", peer_process(connection))
        except OSError:
            return None

    def status(self) -> CoordinatorStatus:
        """Return who coordinates what."""
        for event in self._ask(Status(), ANSWER_TIMEOUT):
            if isinstance(event, Coordinator):
                return event.status
        raise HubfarmError(f"the coordinator on {self._path} did not say what it coordinates")

    def shut_down(self) -> None:
        """Begin the end of the farm."""
        for _ in self._ask(Shutdown(), ANSWER_TIMEOUT):
            pass

    def start(self, requests: Sequence[HubRequest]) -> Iterator[HubStatus]:
        """Start hubs; yield each as it serves.

        Raises
        ------
        HubfarmError
            They cannot be started; what had started has been taken down.
        """
        return self._hubs(Start(list(requests)))

    def stop(self, ids: Sequence[int]) -> Iterator[HubStatus]:
        """End hubs; yield each as it is gone.

        Raises
        ------
        HubfarmError
            The coordinator failed.
        """
        return self._hubs(Stop(list(ids)))

    def restart(self, ids: Sequence[int]) -> Iterator[HubStatus]:
        """Restart hubs; yield each as it serves again.

        Raises
        ------
        HubfarmError
            A successor could not start.
        """
        return self._hubs(Restart(list(ids)))

    def sleep(self, ids: Sequence[int]) -> Iterator[HubStatus]:
        """Let hubs sleep; yield each as it does.

        Raises
        ------
        HubfarmError
            One of them is in use.
        """
        return self._hubs(Sleep(list(ids)))

    def wake(self, ids: Sequence[int]) -> Iterator[HubStatus]:
        """Wake hubs; yield each as it serves.

        Raises
        ------
        HubfarmError
            One of them cannot have a process.
        """
        return self._hubs(Wake(list(ids)))

    def _hubs(self, request: Request) -> Iterator[HubStatus]:
        return (event.status for event in self._ask(request, None) if isinstance(event, Hub))

    def _ask(self, request: Request, timeout: float | None) -> Iterator[AnyEvent]:
        ours = hello()
        greeted = False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(timeout)
                connection.connect(str(self._path))
                with contextlib.suppress(ConnectionError):  # one that does not hear us out may have said why
                    connection.sendall(encode(ours) + encode(request))
                with connection.makefile("rb") as lines:
                    self._greet(ours, lines.readline())
                    greeted = True
                    for line in lines:
                        match event := decode_event(line):
                            case Done():
                                return
                            case Failed():
                                raise event.error()
                            case _:
                                yield event
        except OSError as error:
            if greeted:
                raise HubfarmError(f"lost the coordinator before it was done: {error.strerror or error}") from None
            raise NoCoordinator(f"no coordinator answers on {self._path}: {error.strerror or error}") from None
        raise HubfarmError("the coordinator ended before it was done; hubfarm ls shows what runs")

    def _greet(self, ours: Hello, line: bytes) -> None:
        if not line:
            raise NoCoordinator(f"the coordinator on {self._path} is ending: try again")
        try:
            check_same_version(ours, decode_hello(line))
        except WrongUse:
            raise OtherVersion(
                f"this is hubfarm {__version__}, and what answers on {self._path} is the coordinator of an earlier "
                "release: bring it to this one by hubfarm upgrade, its hubs keep their clients"
            ) from None
