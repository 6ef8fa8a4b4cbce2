"""The other end of the control API: what ``hubfarm`` commands ask of a coordinator."""

import http.client
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.hub_request import HubRequest, encode_requests


class NoCoordinator(HubfarmError):
    """No coordinator answers on the control socket."""


class _UnixConnection(http.client.HTTPConnection):
    """The standard library's HTTP client on a Unix socket."""

    def __init__(self, path: Path, timeout: float | None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ControlClient:
    """Asks the coordinator behind one control socket.

    Parameters
    ----------
    path : Path
        The control socket.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def status(self) -> dict[str, Any]:
        """Return who coordinates and since when.

        Raises
        ------
        NoCoordinator
            None answers.
        """
        return self._ask("GET", "/")

    def shut_down(self) -> int:
        """Begin the end of the farm; return the coordinator's PID.

        Raises
        ------
        NoCoordinator
            None answers.
        """
        return int(self._ask("POST", "/shutdown")["pid"])

    def start(self, requests: Sequence[HubRequest]) -> Iterator[dict[str, Any]]:
        """Start hubs; yield what is told of each as it serves.

        Raises
        ------
        NoCoordinator
            None answers, or it is ending; nothing was started.
        HubfarmError
            They cannot be started; what had started has been taken down.
        """
        return self._lines("/hubs", encode_requests(requests))

    def stop(self, ids: list[int]) -> Iterator[dict[str, Any]]:
        """End hubs; yield what is told of each as it is gone.

        Raises
        ------
        HubfarmError
            The coordinator failed.
        """
        return self._lines("/stop", json.dumps({"ids": ids}).encode())

    def restart(self, ids: list[int]) -> Iterator[dict[str, Any]]:
        """Restart hubs; yield what is told of each as it serves again.

        Raises
        ------
        HubfarmError
            A successor could not start.
        """
        return self._lines("/restart", json.dumps({"ids": ids}).encode())

    def _ask(self, method: str, target: str) -> dict[str, Any]:
        connection = _UnixConnection(self._path, timeout=10.0)
        try:
            connection.request(method, target)
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
            return answer
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NoCoordinator(f"no coordinator answers on {self._path}: {error}") from None
        finally:
            connection.close()

    def _lines(self, target: str, body: bytes) -> Iterator[dict[str, Any]]:
        connection = _UnixConnection(self._path, timeout=None)
        try:
            connection.request("POST", target, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            if response.status == 503:
                raise NoCoordinator(f"the coordinator on {self._path} is ending: try again")
            if response.status != 200:
                raise HubfarmError(f"the coordinator refused: {response.read(1000).decode(errors='replace')}")
            while line := response.readline():
                told = json.loads(line)
                if told.get("done"):
                    return
                if "error" in told:
                    raise (WrongUse if told["wrong_use"] else HubfarmError)(told["error"])
                yield told
            raise HubfarmError("the coordinator ended before it was done; hubfarm ls shows what runs")
        except (ConnectionRefusedError, FileNotFoundError, http.client.RemoteDisconnected) as error:
            raise NoCoordinator(f"no coordinator answers on {self._path}: {error}") from None
        except (OSError, http.client.HTTPException) as error:
            raise HubfarmError(f"lost the coordinator before it was done: {error}") from None
        finally:
            connection.close()
