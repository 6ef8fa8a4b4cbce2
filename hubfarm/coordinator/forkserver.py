"""The coordinator's hold on its forkserver, the clean process that workers are forked from.

The coordinator has threads and an event loop and must not fork itself.
"""

import os
import socket
import subprocess
import sys

from hubfarm.prefork.fork_requests import ask
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.hub_spec import HubSpec

ANSWER_TIMEOUT = 15.0
"""How long it may take to fork, or first to load, seconds; other hubs wait for their fork meanwhile."""


class ForkServer:
    """A forkserver, started at once; it goes on loading by itself.

    Parameters
    ----------
    level : str
        What its workers log.

    Raises
    ------
    HubfarmError
        There is no room for one more process.
    """

    def __init__(self, level: str) -> None:
        self._level = level
        self._start()

    def _start(self) -> None:
        self._connection, theirs = socket.socketpair()
        self._connection.settimeout(ANSWER_TIMEOUT)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "hubfarm.prefork", str(theirs.fileno()), self._level],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
            except OSError as error:
                self._connection.close()
                raise HubfarmError(f"cannot start a forkserver: {error.strerror}") from None

    def fork(self, spec: HubSpec, sock: socket.socket) -> tuple[int, int]:
        """Fork a worker for a hub on its socket; return its PID, and the pipe on which it reports, not blocking.

        Raises
        ------
        ConnectionError
            The forkserver is gone, or does not answer.
        OSError
            There is no room for one more process.
        """
        ours, theirs = os.pipe()
        try:
            os.set_blocking(ours, False)
            pid = ask(self._connection, spec, sock.fileno(), theirs)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return pid, ours

    def replace(self) -> None:
        """End it and start another; its workers live on.

        Raises
        ------
        HubfarmError
            There is no room for one more process.
        """
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._start()
