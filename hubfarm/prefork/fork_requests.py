"""A request to fork a worker, and its answer: what the coordinator and the forkserver say to each other.

Rule: one request is under way at a time, so a request or an answer never has another behind it.
"""

import contextlib
import os
import pickle
import socket
import struct

from hubfarm.spec.hub_spec import HubSpec

_SIZE = struct.Struct("<I")
_ANSWER = struct.Struct("<i")
_FIRST_READ = 4096
"""Holds a request as a rule."""


def ask(connection: socket.socket, spec: HubSpec, sock: int, report: int) -> int:
    """Ask for a worker, hand over its two descriptors, and return its PID.

    Parameters
    ----------
    connection : socket
        To the forkserver.
    spec : HubSpec
        The worker's hub.
    sock : int
        The hub's socket.
    report : int
        Where the worker reports; see `hubfarm.prefork.worker_reports`.

    Raises
    ------
    ConnectionError
        The forkserver is gone, or has not answered within the connection's timeout; then it is not asked again.
    OSError
        It has no room for one more process.
    """
    body = pickle.dumps(spec)
    data = _SIZE.pack(len(body)) + body
    try:
        sent = socket.send_fds(connection, [data], [sock, report])
        connection.sendall(data[sent:])
        answer = connection.recv(_ANSWER.size)
    except TimeoutError:
        connection.shutdown(socket.SHUT_RDWR)  # an answer that came late would be taken for the next one's
        raise ConnectionAbortedError("it does not answer") from None
    if not answer:
        raise ConnectionResetError("it has closed the connection")
    (result,) = _ANSWER.unpack(answer)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return int(result)


def take(connection: socket.socket) -> tuple[bytes, int, int] | None:
    """Return the next request: its body, the hub's socket and the worker's report; None if no more will come."""
    with contextlib.suppress(ConnectionError):
        data, descriptors, _, _ = socket.recv_fds(connection, _FIRST_READ, 2)
        if data:
            (size,) = _SIZE.unpack_from(data)
            missing = _SIZE.size + size - len(data)
            if missing:
                data += connection.recv(missing, socket.MSG_WAITALL)
            sock, report = descriptors
            return data[_SIZE.size :], sock, report
    return None


def read(body: bytes) -> HubSpec:
    """Return the hub of a request."""
    spec: HubSpec = pickle.loads(body)
    return spec


def answer(connection: socket.socket, result: int) -> None:
    """Answer a request with the worker's PID, or with an error number below zero."""
    with contextlib.suppress(ConnectionError):  # the coordinator may be gone
        connection.sendall(_ANSWER.pack(result))
