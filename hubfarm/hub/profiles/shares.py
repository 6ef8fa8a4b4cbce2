"""Lock files that the hub hands out over HTTP, so that a program elsewhere enters by ``SAMP_HUB=std-lockurl:http…``.

The path is a ticket's secret: who knows it is that ticket's user, as who has its lock file is.
"""

from collections.abc import Callable, Mapping

from hubfarm.hub.profiles.profile import Answered
from hubfarm.hub.profiles.throttle import HeldAnswers
from hubfarm.samp import lockfile
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.urls import written

PATH = b"/share/"
"""Where they lie."""


class Shares:
    """The lock files that one hub hands out.

    Parameters
    ----------
    lock_file_of : callable
        Returns the content of the lock file that is shared under a secret, an empty one for a wrong secret.
    held : HeldAnswers
        Those to guessers.
    tls : bool
        The hub speaks TLS.
    """

    def __init__(self, lock_file_of: Callable[[str], Mapping[str, str]], held: HeldAnswers, *, tls: bool) -> None:
        self._lock_file_of = lock_file_of
        self._held = held
        self._scheme = "https" if tls else "http"

    def answer(self, request: Request) -> Answered:
        """Answer a request below `PATH`."""
        tokens = self._lock_file_of(request.target.removeprefix(PATH).decode("ascii", "replace"))
        if not tokens:
            gone = Response(b"there is no such share, or it is over\n", 404, b"text/plain; charset=utf-8")
            return self._held.hold(gone, request.peer, "a wrong share")
        url = f"{self._scheme}://{_asked_by(request)}/xmlrpc"
        told = {name: value for name, value in tokens.items() if not name.startswith("hubfarm.guard")}  # paths of ours
        text = lockfile.write({**told, lockfile.URL: url}, "shared by a SAMP hub of hubfarm")
        return Response(text.encode(), content_type=b"text/plain; charset=utf-8")


def _asked_by(request: Request) -> str:
    """Return the host and port by which the hub was asked: there its reader reaches it."""
    host = request.headers.get(b"host", b"").decode("ascii", "replace").strip()
    if host.rpartition(":")[2].isdigit():
        return host
    return f"{host or written(request.ends.own)}:{request.ends.own_port}"
