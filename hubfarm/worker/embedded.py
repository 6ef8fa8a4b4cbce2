"""`SAMPHubServer`: a hub of ours in a thread of the caller's program.

It is the same hub as a farm's, with lock file and guard, and ends with its program at the latest.
It installs no signal handlers, and says nothing: ``loguru.logger.enable("hubfarm")`` lets it.
"""

import asyncio
import atexit
import os
import secrets
import socket
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from loguru import logger

from hubfarm.access.somebody import check_somebody
from hubfarm.registry.files import read_private
from hubfarm.registry.history import End
from hubfarm.registry.paths import Paths
from hubfarm.samp import lockfile
from hubfarm.samp.errors import WrongUse
from hubfarm.samp.mtype import candidates
from hubfarm.samp.toolkit import (
    SAMP_HUB_MULTIPLE_INSTANCE,
    SAMP_HUB_SINGLE_INSTANCE,
    SAMPHubError,
    SAMPWarning,
    with_original_names,
)
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import HubOptions, asked
from hubfarm.spec.states import HubKind
from hubfarm.standard_hub import living_hub, standard_lock_file
from hubfarm.switches import conf
from hubfarm.wire.sockets import bind, close_in_child
from hubfarm.worker.process import HubProcess, Pages, Running
from hubfarm.worker.standalone import pages_on

STOP_TIMEOUT = 15.0
"""How long ending may take, seconds: the hub lets its queues drain first."""

logger.disable("hubfarm")  # the caller's program decides what is logged


@with_original_names
class SAMPHubServer:
    """A hub in this program.

    The API is that of ``astropy.samp.SAMPHubServer`` and ``pyvo.samp.SAMPHubServer``; ``docs/clients.md``
    says what differs.

    Parameters
    ----------
    secret : str, optional
        Admits a client; by default a random one.
    addr : str, optional
        Where to listen; by default 127.0.0.1.
    port : int
        Likewise; 0 lets the system choose.
    lockfile : str, optional
        The lock file, whatever the mode.
    timeout, client_timeout : float
        Seconds without activity after which the hub ends, or a client is thrown out; 0 for never.
    mode : str
        `SAMP_HUB_SINGLE_INSTANCE`: the standard's one hub, of ``SAMP_HUB`` or ``~/.samp``;
        `SAMP_HUB_MULTIPLE_INSTANCE`: one among the hubs of ``~/.samp-1``.
    label : str
        Its name, unique on the host; empty for none.
    web_profile : bool
        Let web pages join that the user lets in (SAMP 1.3, 5); only if there is somebody to ask: a dialogue, or a user
        at a terminal.  If the port is in use the hub goes on without them.
    web_profile_dialog : object, optional
        Asks the user, by its attributes ``queue_request`` and ``queue_result``; see `hubfarm.WebProfileDialog`.  By
        default the terminal does.
    web_port : int
        Where pages look for it; 0 lets the system choose.
    pool_size : int
        Taken for compatibility: there is one connection a client.
    owner, owner_group : str
        Free names; empty for none.
    paths : Paths, optional
        Where the farm's files lie; by default as the environment says.
    **options
        What else may be asked of a hub; see `hubfarm.spec.options.HubOptions`.

    Examples
    --------
    >>> hub = SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="mine")
    >>> hub.start()
    >>> hub.params["hub.label"], hub.is_running
    ('mine', True)
    >>> hub.stop()
    """

    def __init__(
        self,
        secret: str | None = None,
        addr: str | None = None,
        port: int = 0,
        lockfile: str | None = None,
        timeout: float = 0,
        client_timeout: float = 0,
        mode: str = SAMP_HUB_SINGLE_INSTANCE,
        label: str = "",
        web_profile: bool = True,
        web_profile_dialog: Any = None,
        web_port: int = 21012,
        pool_size: int = 20,
        *,
        owner: str = "",
        owner_group: str = "",
        paths: Paths | None = None,
        **options: Any,
    ) -> None:
        if mode not in (SAMP_HUB_SINGLE_INSTANCE, SAMP_HUB_MULTIPLE_INSTANCE):
            raise WrongUse(
                f"the mode is {mode!r}: it must be {SAMP_HUB_SINGLE_INSTANCE!r} or {SAMP_HUB_MULTIPLE_INSTANCE!r}"
            )
        named = {"label": label, "owner": owner, "group": owner_group, "host": addr or "127.0.0.1", "port": port or 0}
        times = {"timeout": timeout, "client_timeout": client_timeout}
        self._options = asked(HubOptions, named | times | options)
        self._secret = secret
        self._lock_file = lockfile
        self._mode = mode
        self._paths = paths
        self._web_profile = web_profile
        self._dialogue = web_profile_dialog
        self._web_port = web_port  # the name that astropy's tests know
        self._runner: _Runner | None = None
        self._params: dict[str, str] = {}

    @property
    def id(self) -> str:
        """The hub's ``<PID>-<ID>``; empty before the first start."""
        return self._params.get("hub.id", "")

    @property
    def params(self) -> dict[str, str]:
        """The lock file's content, as of the last start.

        Raises
        ------
        SAMPHubError
            There was none.
        """
        if not self._params:
            raise SAMPHubError("the hub has no parameters yet: start it first")
        return dict(self._params)

    @property
    def is_running(self) -> bool:
        """Whether it serves; not in a child that this program has forked."""
        return self._runner is not None and self._runner.is_alive()

    def start(self, wait: bool = False) -> None:
        """Start the hub, and return once it serves.

        Parameters
        ----------
        wait : bool
            Return only when it has ended.

        Raises
        ------
        SAMPHubError
            It runs already, or another hub holds the lock file; see `hubfarm.switches.Conf.second_hub`.
        HubfarmError
            The label, the port or the disk is not to be had.
        """
        if self.is_running:
            raise SAMPHubError("the hub is running already")
        paths = (self._paths or Paths.from_environment()).prepare()
        path = self._own_lock_file(paths)
        if path is not None and _holds_another(path, paths):
            path = None
        spec = HubSpec.of(self._options, id=0, secret=self._secret or secrets.token_hex(16))
        check_somebody([spec], paths)
        sock = close_in_child(bind(spec.host, spec.port))
        pages = self._listen_for_pages()
        runner = _Runner(
            lambda: HubProcess(spec, paths, kind=HubKind.EMBEDDED, lock_path=path, pages=pages),
            [sock] if pages is None else [sock, pages.sock],
        )
        running = runner.begin()
        self._params = lockfile.parse(read_private(running.lock_path))
        self._runner = runner
        atexit.register(self.stop)
        if wait:
            runner.join()

    def _listen_for_pages(self) -> Pages | None:
        pages = pages_on(self._web_port, self._dialogue) if self._web_profile else None
        if pages is not None:
            self._web_port = close_in_child(pages.sock).getsockname()[1]
        elif self._web_profile and self._dialogue is not None:
            warnings.warn(
                f"the port {self._web_port} is in use: web pages will not find this hub", SAMPWarning, stacklevel=3
            )
        return pages

    def _own_lock_file(self, paths: Paths) -> Path | None:
        if self._lock_file is not None:
            return Path(self._lock_file).absolute()
        if self._mode == SAMP_HUB_MULTIPLE_INSTANCE and not (conf.samp_hub_first and os.environ.get("SAMP_HUB")):
            return None
        return standard_lock_file(paths)

    def stop(self) -> None:
        """Tell the clients, end the hub, and remove the lock file; without a hub there is nothing to do."""
        atexit.unregister(self.stop)
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.end()

    @staticmethod
    def get_mtype_subtypes(mtype: str) -> list[str]:
        """Return every pattern that matches `mtype`, the most specific first.

        Examples
        --------
        >>> SAMPHubServer.get_mtype_subtypes("samp.app.ping")
        ['samp.app.ping', 'samp.app.*', 'samp.*', '*']
        """
        return list(candidates(mtype))

    def __enter__(self) -> "SAMPHubServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Runner(threading.Thread):
    """The thread that one hub lives in, from start to end."""

    def __init__(self, make: Callable[[], HubProcess], sockets: Sequence[socket.socket]) -> None:
        super().__init__(name="hubfarm-hub", daemon=True)
        self._make = make
        self._sockets = sockets
        self._began = threading.Event()
        self._pid = os.getpid()
        self._outcome: Running | BaseException
        self._hub: HubProcess
        self._loop: asyncio.AbstractEventLoop

    def begin(self) -> Running:
        """Start, and return once the hub serves."""
        self.start()
        self._began.wait()
        if isinstance(self._outcome, BaseException):
            self.join()
            raise self._outcome
        return self._outcome

    def run(self) -> None:
        uvloop.run(self._live())

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._hub = self._make()
            self._outcome = await self._hub.start(self._sockets[0])
        except BaseException as error:
            for sock in self._sockets:
                sock.close()
            self._outcome = error
            return
        finally:
            self._began.set()
        how, reason = await self._hub.wait_for_end()
        await self._hub.stop(how, reason)

    def end(self) -> None:
        if self._pid != os.getpid() or not self.is_alive():
            return
        self._loop.call_soon_threadsafe(self._hub.end, End.STOPPED, "by its program")
        self.join(STOP_TIMEOUT)


def _holds_another(path: Path, paths: Paths) -> bool:
    """Tell whether another hub's lock file lies there, where ours may then run in multiple mode."""
    hub = living_hub(path, paths)
    if hub is None:
        return False
    if not conf.second_hub:
        raise SAMPHubError(
            f"a hub runs already with the lock file {path}, at {hub.url}: use it, or start yours in multiple mode"
        )
    warnings.warn(
        f"a hub runs already with the lock file {path}, at {hub.url}: programs will find that one",
        SAMPWarning,
        stacklevel=3,
    )
    return True
