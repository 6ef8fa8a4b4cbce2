"""What a user asks of the farm's web gateway, and decides; and what is remembered, also while none runs."""

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any

from hubfarm.control.protocol import WebState
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.registry.web_memory import ALWAYS, RememberedPage, WebMemory
from hubfarm.registry.web_token import page_address, web_token
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.origins import check_origin

ANSWER_TIMEOUT = 10.0
"""How long the gateway may take to answer, seconds."""

WATCH = 20.0
"""How long it is asked to wait for a change, seconds."""

LOOK_AGAIN = 0.5
"""Between two looks whether a gateway runs, seconds."""

State = dict[str, Any]
"""``waiting``, ``pages``, ``remembered``: lists of objects with ``id``, ``name``, ``origin``, ``referer``, ``hub``."""


class _Connection(HTTPConnection):
    """By a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Web:
    """The web's side of a farm.

    Parameters
    ----------
    paths : Paths
        Where its files lie.

    Examples
    --------
    >>> from hubfarm import Farm
    >>> Farm().web.state()["waiting"]
    []
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._memory = WebMemory(paths)

    # ------------------------------------------------------------------ seen

    def state(self) -> State:
        """Return who asks to come in, who is in, and what is remembered.

        Raises
        ------
        HubfarmError
            The gateway does not answer, or what is remembered cannot be read.
        """
        told = self._ask("GET", "/state")
        if told is None:
            return {"waiting": [], "pages": [], "remembered": self._remembered()}
        if told["trouble"]:
            raise HubfarmError(told["trouble"])
        return {name: told[name] for name in ("waiting", "pages", "remembered")}

    def is_waiting(self, id: str) -> bool:
        """Tell whether a question waits for an answer still.

        Raises
        ------
        HubfarmError
            The gateway does not answer.
        """
        told = self._ask("GET", "/state")
        return told is not None and any(each["id"] == id for each in told["waiting"])

    def watch(self, wait: float = WATCH) -> Iterator[State]:
        """Yield the state now, and whenever it may have changed; between times when no gateway runs, too.

        What is remembered and cannot be read is no reason not to answer: ``trouble`` says why.

        Parameters
        ----------
        wait : float
            After so long it is yielded also if nothing has changed, seconds.
        """
        edition = 0
        while True:
            told = self._ask("GET", f"/state?since={edition}&wait={wait}", wait + ANSWER_TIMEOUT)
            edition = told["edition"] if told else 0
            yield told or {"waiting": [], "pages": [], "remembered": [], "trouble": ""}
            if told is None:
                time.sleep(LOOK_AGAIN)

    def _remembered(self) -> list[dict[str, str]]:
        known = [(page.origin, page.hub, page.allowed) for page in self._memory.read().page]
        known += [(origin, hub, "settings") for origin, hub in load_settings().web.trusted.items()]
        return [
            {"id": origin, "name": "", "origin": origin, "referer": "", "hub": hub, "allowed": allowed}
            for origin, hub, allowed in known
        ]

    def url(self) -> str:
        """Return the address at which the user's browser shows what is asked; it has a secret in it.

        Raises
        ------
        HubfarmError
            The secret cannot be made.
        """
        return page_address(load_settings().web.port, web_token(self._paths.prepare()))

    # ------------------------------------------------------------------ decided

    def allow(self, id: str, hub: str, lasts: str = "once") -> None:
        """Let a page that asks into a hub.

        Parameters
        ----------
        id : str
            Of the question.
        hub : str
            Which hub; a selector.
        lasts : str
            ``once``, ``day`` or ``always``.

        Raises
        ------
        WrongUse
            Nobody asks as that, or there is no such hub.
        """
        self._decide("allow", {"id": id, "hub": hub, "for": lasts})

    def deny(self, id: str) -> None:
        """Refuse a page that asks.

        Raises
        ------
        WrongUse
            Nobody asks as that.
        """
        self._decide("deny", {"id": id})

    def disconnect(self, id: str) -> None:
        """Have a page leave its hub.

        Raises
        ------
        WrongUse
            There is no such page.
        """
        self._decide("disconnect", {"id": id})

    def _decide(self, what: str, answer: dict[str, str]) -> None:
        if self._ask("POST", f"/{what}", body=answer) is None:
            raise WrongUse("no web page asks or is in: no gateway runs, as nobody has come")

    # ------------------------------------------------------------------ remembered

    def trust(self, origin: str, hub: str) -> str:
        """Let pages of an origin into a hub unasked from now on; return the origin as it is remembered.

        Parameters
        ----------
        origin : str
            The origin, or the address of a page.
        hub : str
            The label of the hub.

        Raises
        ------
        WrongUse
            It is no origin that can be told from others.
        HubfarmError
            It cannot be written down.
        """
        origin = check_origin(origin)
        self._paths.prepare()
        page = RememberedPage(origin=origin, hub=hub, allowed=ALWAYS)
        self._memory.change(lambda memory: memory.with_page(page))
        return origin

    def forget(self, origin: str) -> None:
        """Remember nothing of an origin; pages of it that are in stay.

        Raises
        ------
        WrongUse
            Nothing is remembered of it.
        """
        if all(page.origin != origin for page in self._memory.read().page):
            origin = check_origin(origin)
        if all(page.origin != origin for page in self._memory.read().page):
            settled = " (the settings trust it)" if origin in load_settings().web.trusted else ""
            raise WrongUse(f"nothing is remembered of {origin}{settled}; hubfarm web ls lists what is")
        self._memory.change(lambda memory: memory.without(origin))

    def forget_all(self) -> int:
        """Remember nothing; return how many origins that were."""
        count = len(self._memory.read().page)
        if count:
            self._memory.change(lambda memory: type(memory)(on=memory.on))
        return count

    def switch(self, *, on: bool) -> None:
        """Let web pages come, or not; a coordinator that runs heeds it within a second.

        Raises
        ------
        HubfarmError
            It cannot be written down.
        """
        self._paths.prepare()
        self._memory.change(lambda memory: type(memory)(on=on, page=memory.page))

    def renew(self, pid: int | None) -> None:
        """End the gateway, so that the next request of a page starts one of the installed release; pages stay.

        Parameters
        ----------
        pid : int or None
            Its process, as the coordinator tells it; None if there is none.
        """
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    @property
    def is_on(self) -> bool:
        """Whether pages may come, as the user and the settings say."""
        return self._memory.read().on and load_settings().web.on

    # ------------------------------------------------------------------ asked

    def _ask(
        self, method: str, path: str, timeout: float = ANSWER_TIMEOUT, body: dict[str, str] | None = None
    ) -> dict[str, Any] | None:
        """Ask the gateway; None if none runs."""
        connection = _Connection(str(self._paths.web_socket), timeout)
        try:
            connection.connect()
        except OSError:
            return None
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            told = json.loads(answer.read())
        except (OSError, HTTPException, ValueError) as error:
            raise HubfarmError(f"the web gateway does not answer: {error}") from None
        finally:
            connection.close()
        if answer.status == 200 and isinstance(told, dict):
            return told
        raise (WrongUse if answer.status == 400 else HubfarmError)(str(told.get("error", "the web gateway failed")))


def holder_of(port: int) -> str:
    """Say which program has a port of this host's loopback, as far as this account may know; empty if none has."""
    import pwd

    import psutil

    from hubfarm.wire.host_sockets import HostSockets

    for each in psutil.net_connections(kind="tcp") if hasattr(psutil, "net_connections") else []:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr[1] == port and each.pid:
            try:
                process = psutil.Process(each.pid)
                return f"{process.name()} (process {each.pid} of {process.username()})"
            except psutil.Error:
                continue
    sockets = HostSockets()
    try:
        uid = sockets.listener("localhost", port)
    finally:
        sockets.close()
    if uid is None:
        return ""
    try:
        return f"a program of the account {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"a program of the account {uid}"


def in_words(told: Mapping[str, Any]) -> str:
    """Say how a farm has the web's port, in a line.

    Parameters
    ----------
    told : dict
        A `hubfarm.control.protocol.WebStatus`, as `Farm.coordinator` tells it.
    """
    port, by = told["port"], ", by the host's switchboard" if told["switchboard"] else ""
    match told["state"]:
        case WebState.OFF:
            return "off: no page can come in; hubfarm web on lets them"
        case WebState.TAKEN:
            return f"port {port} is held by {holder_of(port) or 'another program'}; it is taken over when it is free"
        case WebState.ASLEEP:
            return f"port {port}{by}; no page is there"
        case _:
            return f"port {port}{by}; the gateway is process {told['pid']}"
