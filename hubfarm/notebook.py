"""`%load_ext hubfarm`: the magic ``%samp``, tables that arrive, and progress, in IPython and Jupyter.

IPython is met only through the shell that it hands over (`Shell`); what is shown is written by `hubfarm.html`.
What arrives is put under names that are ours, never under one that a sender chose.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from hubfarm import html
from hubfarm.client.data import TABLE_MTYPES, DataSending, Progress, read_table
from hubfarm.client.handlers import Message, response_to_failure
from hubfarm.client.icons import icon_url, icons_of
from hubfarm.client.integrated import SAMPIntegratedClient
from hubfarm.client.membership import called
from hubfarm.client.others import as_map, clients_on
from hubfarm.farm import Farm
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.values import Map
from hubfarm.visible import brief, span

CLIENT = "samp_client"
"""The variable that holds the client that ``%samp`` connects."""

TABLE = "samp_table"
"""What the variables begin with that hold tables: ``samp_table_1`` and so on."""

MOST_TABLES = 100
"""Tables that are kept; to the sender of one more is said why not."""

AFTER = 1.0
"""A sending that takes longer shows how it goes, seconds."""


class Shell(Protocol):
    """What we need of IPython's shell."""

    user_ns: dict[str, Any]
    display_pub: Any
    magics_manager: Any

    def set_hook(self, name: str, hook: Callable[..., Any], *, str_key: str) -> None:
        """Have a function called for what is being completed."""

    def register_magic_function(self, func: Callable[[str], None], magic_kind: str, magic_name: str) -> None:
        """Make a function a magic."""


class _Cell:
    """Something that is shown once or more often, each time in the place of the last.

    Parameters
    ----------
    shell : Shell
        Where it is shown.
    """

    def __init__(self, shell: Shell) -> None:
        self._publish = shell.display_pub.publish
        self._shown = False

    def show(self, markup: html.Html, text: str) -> None:
        """Show it, as HTML where that can be shown."""
        data = {"text/plain": text, "text/html": markup}
        self._publish(data, metadata={}, transient={"display_id": f"hubfarm-{id(self)}"}, update=self._shown)
        self._shown = True


# ---------------------------------------------------------------------- %samp


class Session:
    """A notebook's membership of a hub.

    Parameters
    ----------
    shell : Shell
        The notebook's IPython.
    """

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._client: SAMPIntegratedClient | None = None
        self._count = 0
        self._lock = threading.Lock()

    def samp(self, line: str) -> None:
        """Connect this notebook to a hub, and show its clients.

        ``%samp mima-2`` connects (a hub by its label, the unique beginning of one, its id or PID-ID), ``%samp``
        shows the clients again, or the hubs that there are, ``%samp --off`` disconnects. The client is the variable
        ``samp_client``. Tables that others send arrive as ``samp_table_1``, ``samp_table_2`` and so on.
        """
        try:
            self._do(line.strip())
        except HubfarmError as error:
            from IPython.core.error import UsageError  # which is shown as one line

            raise UsageError(str(error)) from None

    def _do(self, wanted: str) -> None:
        if wanted == "--off":
            self.leave()
        elif wanted:
            self._enter(wanted)
        if self._client is not None:
            self._show_clients(self._client)
        elif not wanted:
            farm = Farm()
            _Cell(self._shell).show(html.Html(farm._repr_html_()), "\n".join(map(repr, farm.hubs())) or repr(farm))

    def _enter(self, wanted: str) -> None:
        if wanted.startswith("-"):
            raise WrongUse(f"%samp has no option {wanted}: write %samp HUB, %samp, or %samp --off")
        if self._shell.user_ns.get(CLIENT, self._client) is not self._client:
            raise WrongUse(f"the variable {CLIENT} is yours: del {CLIENT}, or give it another name")
        hub = Farm().find(wanted)
        self.leave()
        client = SAMPIntegratedClient(_name_of_notebook(), "A notebook, by hubfarm")
        for mtype in TABLE_MTYPES:
            client.on_call(mtype)(self._take_table)
        client.connect(hub.stable_name or hub.lock_file, reconnect=True)
        self._client = self._shell.user_ns[CLIENT] = client

    def leave(self) -> None:
        """Disconnect, if connected."""
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            if self._shell.user_ns.get(CLIENT) is client:
                del self._shell.user_ns[CLIENT]

    def _show_clients(self, client: SAMPIntegratedClient) -> None:
        clients = clients_on(client)
        icons = icons_of(one["metadata"] for one in clients)
        rows = [
            (
                html.picture(icons.get(icon_url(one["metadata"]), b"")),
                *(_called(one), one["metadata"].get("samp.description.text")),
                *(span(one["registered"]), one["messages"], len(one["subscriptions"])),
            )
            for one in clients
        ]
        others = html.table(("", "client", "description", "registered", "messages", "MTypes"), rows)
        text = "\n".join([repr(client), *(f"  {brief(_called(one), 100)}" for one in clients)])
        _Cell(self._shell).show(html.joined(html.Html(client._repr_html_()), others), text)

    # ------------------------------------------------------------------ what arrives

    def _take_table(self, message: Message) -> Map | None:
        told, response = message.params.get("name"), None
        name = f" {brief(told, 60)}" if isinstance(told, str) and told else ""
        sender = brief(called(_name_of(self._client, message.sender), message.sender), 80)
        try:
            self._check_room()
            table = read_table(message)
            what = f"{self._keep(table)}: the table{name} of {sender}, {len(table)} rows, {len(table.colnames)} columns"
        except Exception as error:  # whatever astropy makes of a file that is none
            response = response_to_failure(error)
            what = f"the table{name} of {sender} was not taken: {brief(str(error), 120)}"
        _Cell(self._shell).show(html.text(what), what)
        return response

    def _check_room(self) -> None:
        kept = sorted(name for name in list(self._shell.user_ns) if name.startswith(f"{TABLE}_"))
        if len(kept) >= MOST_TABLES:
            raise HubfarmError(f"this notebook holds {len(kept)} tables, and takes no more: del {kept[0]} there, say")

    def _keep(self, table: Any) -> str:
        variables = self._shell.user_ns
        with self._lock:
            self._count += 1
            while (variable := f"{TABLE}_{self._count}") in variables:
                self._count += 1
            variables[variable] = table
        return variable


def _called(one: Mapping[str, Any]) -> str:
    return called(str(one["metadata"].get("samp.name", "")), one["id"])


def _name_of(client: SAMPIntegratedClient | None, id: str) -> str:
    try:
        return str(as_map(client.get_metadata(id) if client else {}).get("samp.name", ""))
    except HubfarmError:
        return ""  # it has left meanwhile


def _name_of_notebook() -> str:
    """Return what others see: the notebook's file where Jupyter says it, so that several can be told apart."""
    path = os.environ.get("JPY_SESSION_NAME", "")
    return Path(path).stem if path.endswith(".ipynb") else "notebook"


def _labels(shell: object, event: object) -> list[str]:
    """Return what can come after ``%samp``."""
    return ["--off", *(hub.label for hub in Farm().hubs() if hub.alive and hub.label.isprintable())]


# ---------------------------------------------------------------------- progress


class ProgressCell:
    """Shows how a sending goes, once it has taken `AFTER` seconds.

    Parameters
    ----------
    shell : Shell
        Where it is shown.
    """

    def __init__(self, shell: Shell) -> None:
        self._cell = _Cell(shell)
        self._lock = threading.Lock()
        self._last: Progress | None = None
        self._is_long = False
        self._timer = threading.Timer(AFTER, self._begin)
        self._timer.daemon = True
        self._timer.start()

    def tell(self, progress: Progress) -> None:
        """Take note of how it goes."""
        with self._lock:
            self._last = progress
            if progress.is_over:
                self._timer.cancel()
            if self._is_long:
                self._show(progress)

    def _begin(self) -> None:
        with self._lock:
            self._is_long = True
            if self._last is not None and not self._last.is_over:
                self._show(self._last)

    def _show(self, progress: Progress) -> None:
        text = brief(str(progress), 300)
        bar = html.meter(len(progress.receipts), len(progress.receipts) + len(progress.waiting))
        self._cell.show(html.joined(bar, text), text)


# ---------------------------------------------------------------------- the extension


_unwatched = DataSending.watch
_sessions: dict[int, Session] = {}
"""By the shell's identity."""


def load_ipython_extension(shell: Shell) -> None:
    """Do what ``%load_ext hubfarm`` is to do."""
    session = _sessions.setdefault(id(shell), Session(shell))
    shell.register_magic_function(session.samp, "line", "samp")
    shell.set_hook("complete_command", _labels, str_key="%samp")
    DataSending.watch = staticmethod(lambda: ProgressCell(shell).tell)  # type: ignore[method-assign]


def unload_ipython_extension(shell: Shell) -> None:
    """Do what ``%unload_ext hubfarm`` is to do: disconnect, and show no progress any more."""
    DataSending.watch = staticmethod(_unwatched)  # type: ignore[method-assign]
    del shell.magics_manager.magics["line"]["samp"]
    _sessions.pop(id(shell)).leave()
