"""Tables, images and spectra, sent and received: files and URLs on the outside, astropy's objects inside.

astropy is imported only where one of its objects is written or read (``pip install 'hubfarm[data]'``).
"""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from hubfarm.client.files import FileServer
from hubfarm.client.handlers import Message
from hubfarm.client.keyword_messages import Answer
from hubfarm.client.membership import Membership, called
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import file_path
from hubfarm.samp.values import Map, error_response
from hubfarm.visible import brief

DATA_TIMEOUT = 60.0
"""How long a recipient may take to load what it was sent, seconds."""

_MTYPES = {
    ("table", "votable"): "table.load.votable",
    ("table", "fits"): "table.load.fits",
    ("image", "fits"): "image.load.fits",
    ("spectrum", "votable"): "spectrum.load.ssa-generic",
    ("spectrum", "fits"): "spectrum.load.ssa-generic",
}
"""What is sent in which format, by which MType."""

TABLE_MTYPES = tuple(mtype for (kind, _), mtype in _MTYPES.items() if kind == "table")
"""Those of tables."""

LISTENS = "hubfarm.listens"
"""The annotation of a subscription whose client shows what passes, and makes nothing of it."""

_MEDIA_TYPES = {"votable": "application/x-votable+xml", "fits": "application/fits"}
_FITS_NAMES = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What one recipient made of what it was sent.

    Parameters
    ----------
    id, name : str
        Its public id, and its name if it has one.
    response : dict
        Its response; if it did not answer, a ``samp.error`` that says why.
    """

    id: str
    name: str
    response: Map

    @property
    def ok(self) -> bool:
        """Whether it took it."""
        return self.response.get("samp.status") != "samp.error"

    @property
    def error(self) -> str:
        """Why it did not, or what it warns of; empty if all is well."""
        error = self.response.get("samp.error")
        return str(error.get("samp.errortxt", "")) if isinstance(error, dict) else ""

    def __repr__(self) -> str:
        said = f"{called(self.name, self.id)}: {self.response.get('samp.status', '')} {self.error}"
        return f"<Receipt {brief(said.rstrip(), 160)}>"

    def _repr_html_(self) -> str:
        from hubfarm import html

        said = html.state(self.response.get("samp.status", ""), self.ok)
        return html.facts(called(self.name, self.id), {"status": said, "why": self.error})


@dataclass(frozen=True, slots=True)
class Prepared:
    """Something to send: where it lies, and what is said of it.

    Parameters
    ----------
    kind : str
        ``table``, ``image`` or ``spectrum``.
    format : str
        ``votable`` or ``fits``.
    where : Path or str
        The file, or a URL that it has already.
    params : Map
        The message's parameters but the URL.
    """

    kind: str
    format: str
    where: Path | str
    params: Map


@dataclass(frozen=True, slots=True)
class Progress:
    """How a sending goes.

    Parameters
    ----------
    kind : str
        ``table``, ``image`` or ``spectrum``.
    size : int or None
        Of its file, bytes; None while it is being written, and of what lies at a URL.
    waiting : tuple of str
        Who has not answered yet: ``TOPCAT (c24)``.
    receipts : tuple of Receipt
        What the others made of it.
    is_over : bool
        Whether it has come to its end, or has failed.

    Examples
    --------
    >>> print(Progress("table", 2_500_000, ("TOPCAT (c24)",), (Receipt("c2", "DS9", {}),), False))
    the table (2.5 MB): 1 of 2 have answered, TOPCAT (c24) loads it
    """

    kind: str
    size: int | None
    waiting: tuple[str, ...]
    receipts: tuple[Receipt, ...]
    is_over: bool

    def __str__(self) -> str:
        what = f"the {self.kind}" + (f" ({self.size / 1e6:.1f} MB)" if self.size is not None else "")
        if not (self.waiting or self.receipts):
            return f"{what} is sent to nobody" if self.is_over else f"{what} is being prepared"
        answered = f"{what}: {len(self.receipts)} of {len(self.receipts) + len(self.waiting)} have answered"
        if not self.waiting:
            return answered
        return f"{answered}, {', '.join(self.waiting)} {'loads' if len(self.waiting) == 1 else 'load'} it"


class Sending:
    """One sending, from its preparation to its last receipt; a context manager, whose watcher is told of each step.

    Parameters
    ----------
    kind : str
        ``table``, ``image`` or ``spectrum``.
    watch : callable
        `DataSending.watch`; called as it begins.
    """

    def __init__(self, kind: str, watch: Callable[[], Callable[[Progress], None]]) -> None:
        self._kind = kind
        self._watch = watch
        self._size: int | None = None
        self._waiting: dict[str, str] = {}
        self._receipts: list[Receipt] = []

    def __enter__(self) -> None:
        self._tell = self._watch()
        self._step()

    def __exit__(self, *failure: object) -> None:
        self._step(is_over=True)

    def leaves(self, where: Path | str, recipients: Collection[str]) -> None:
        """Note that it is prepared, and goes to these."""
        self._size = where.stat().st_size if isinstance(where, Path) else None
        self._waiting = {recipient: recipient for recipient in recipients}
        self._step()

    def is_for(self, recipient: str, name: str) -> None:
        """Note a recipient's name."""
        self._waiting[recipient] = called(name, recipient)
        self._step()

    def arrived(self, receipt: Receipt) -> Receipt:
        """Note an answer, and return it."""
        self._waiting.pop(receipt.id, None)
        self._receipts.append(receipt)
        self._step()
        return receipt

    def _step(self, *, is_over: bool = False) -> None:
        self._tell(Progress(self._kind, self._size, tuple(self._waiting.values()), tuple(self._receipts), is_over))


class Outbox:
    """The files that a client has sent; they stay until it disconnects."""

    def __init__(self) -> None:
        self._directory: tempfile.TemporaryDirectory[str] | None = None
        self._files = FileServer()
        self._count = 0

    def new_path(self, suffix: str) -> Path:
        """Return the path of a file to be written."""
        if self._directory is None:
            self._directory = tempfile.TemporaryDirectory(prefix="hubfarm-sent-")
        self._count += 1
        return Path(self._directory.name) / f"{self._count}{suffix}"

    async def url_of(self, where: Path | str, *, serve: bool, host: str) -> str:
        """Return the URL of a file: a ``file:`` URL, or one under which it is served."""
        if isinstance(where, str):
            return where
        return await self._files.url_of(where, host) if serve else where.absolute().as_uri()

    async def close(self) -> None:
        """Remove what was written, and stop serving."""
        await self._files.close()
        directory, self._directory = self._directory, None
        if directory is not None:
            directory.cleanup()


# ---------------------------------------------------------------------- before it is sent


def prepare(kind: str, data: Any, outbox: Outbox, *, name: str, id: str) -> Prepared:
    """Make a file of `data` if it is none, and say what it is.

    Parameters
    ----------
    kind : str
        ``table``, ``image`` or ``spectrum``.
    data : object
        A path, a URL, or an object of astropy's or numpy's.
    outbox : Outbox
        Where files are written.
    name, id : str
        What the recipients shall call it; empty for the file's name and the URL.

    Raises
    ------
    WrongUse
        There is no such file, or this cannot be sent as a `kind`.
    """
    where, format = _locate(kind, data, outbox)
    params: Map = {"name": name or (Path(where).name if isinstance(data, str | Path) else kind)}
    if id:
        params[f"{kind}-id"] = id
    if kind == "spectrum":
        params["meta"] = {"Access.Format": _MEDIA_TYPES[format]}
    return Prepared(kind, format, where, params)


def _locate(kind: str, data: Any, outbox: Outbox) -> tuple[Path | str, str]:
    if isinstance(data, str) and urlsplit(data).scheme in ("http", "https", "ftp"):
        path = urlsplit(data).path.lower()
        return data, "fits" if kind == "image" or path.endswith(_FITS_NAMES) else "votable"
    if isinstance(data, str | Path):
        return _locate_file(kind, file_path(data) if str(data).startswith("file:") else Path(data), outbox)  # type: ignore[arg-type]
    if kind == "image":
        return _write_image(data, outbox), "fits"
    return _sent(_as_table(data), outbox), "votable"


def _locate_file(kind: str, path: Path, outbox: Outbox) -> tuple[Path, str]:
    try:
        with path.open("rb") as file:
            start = file.read(2048)
    except OSError as error:
        raise WrongUse(f"cannot send the file {path}: {error.strerror}") from None
    format = "fits" if start.startswith(b"SIMPLE  =") or path.name.lower().endswith(_FITS_NAMES) else ""
    format = format or ("votable" if b"<VOTABLE" in start else "")
    if (kind, format) in _MTYPES:
        return path, format
    if kind == "image":
        raise WrongUse(f"cannot send {path} as an image: it is not FITS")
    return _sent(_read_by_astropy(kind, path), outbox), "votable"


def _read_by_astropy(kind: str, path: Path) -> Any:
    with needing_astropy(f"{path} is neither VOTable nor FITS, and to read it"):
        from astropy.table import Table
    try:
        return Table.read(path)
    except Exception as error:  # whatever its reader raises, with a list of all formats over many lines
        why = str(error).strip().partition("\n")[0]
        raise WrongUse(f"cannot read {path} as a {kind}: {why or type(error).__name__}") from None


@contextlib.contextmanager
def needing_astropy(what: str) -> Iterator[None]:
    """Import astropy in here.

    Raises
    ------
    HubfarmError
        It is not installed; the message says how it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("astropy", "numpy"):
            raise
        raise HubfarmError(f'{what} takes astropy, which is not installed: pip install "hubfarm[data]"') from None


def _as_table(data: Any) -> Any:
    if hasattr(data, "spectral_axis") and hasattr(data, "flux"):
        with needing_astropy("to send a spectrum"):
            from astropy.table import QTable

        return QTable({"spectral_axis": data.spectral_axis, "flux": data.flux})
    if (hasattr(data, "colnames") and hasattr(data, "write")) or _is_votable(data):
        return data
    raise WrongUse(f"cannot send {type(data).__name__}: give an astropy Table, a path or a URL")


def _is_votable(data: Any) -> bool:
    return hasattr(data, "to_xml") and hasattr(data, "iter_tables")


def _sent(table: Any, outbox: Outbox) -> Path:
    path = outbox.new_path(".vot")
    write_table(table, path)
    return path


def write_table(table: Any, path: Path) -> None:
    """Write astropy's Table, or its VOTableFile, as VOTable."""
    if _is_votable(table):
        table.to_xml(str(path))
    else:
        table.write(path, format="votable")


def _write_image(data: Any, outbox: Outbox) -> Path:
    with needing_astropy("to send an array as an image"):
        from astropy.io import fits

    if hasattr(data, "to_hdu"):  # CCDData
        data = data.to_hdu()
    elif not hasattr(data, "writeto"):
        try:
            data = fits.PrimaryHDU(data)
        except (TypeError, ValueError) as error:
            raise WrongUse(f"cannot send {type(data).__name__} as an image: {error}") from None
    path = outbox.new_path(".fits")
    data.writeto(path)
    return path


# ---------------------------------------------------------------------- sending


async def send(
    membership: Membership,
    outbox: Outbox,
    prepared: Prepared,
    sending: Sending,
    *,
    to: str | None,
    serve: bool,
    timeout: float,
) -> list[Receipt]:
    """Send what is prepared to one client or all that can take it, and return what each answered.

    Raises
    ------
    WrongUse
        There is no client `to`.
    HubfarmError
        The hub fails.
    """
    mtype = _MTYPES[prepared.kind, prepared.format]
    url = await outbox.url_of(prepared.where, serve=serve, host=membership.hub.local_host)
    params = {"url": url, f"{prepared.kind}-id": url} | prepared.params
    message = {"samp.mtype": mtype, "samp.params": params}
    recipients = [await find_client(membership, to)] if to else await _takers(membership, message)
    sending.leaves(prepared.where, recipients)
    return list(await asyncio.gather(*(_send_to(membership, one, message, sending, timeout) for one in recipients)))


async def _takers(membership: Membership, message: Mapping[str, object]) -> Collection[str]:
    """Return who takes a message; those who only listen get it now, and need not answer."""
    subscribed = await membership.call("getSubscribedClients", message["samp.mtype"])
    if not isinstance(subscribed, dict):
        return []
    listeners = [client for client, annotations in subscribed.items() if only_listens(annotations)]
    for listener in listeners:
        with contextlib.suppress(HubfarmError):  # it has left meanwhile
            await membership.call("notify", listener, message)
    return [client for client in subscribed if client not in listeners]


def only_listens(annotations: object) -> bool:
    """Whether a subscription says so of its client, by `LISTENS`; as ``hubfarm snoop`` does."""
    return isinstance(annotations, dict) and LISTENS in annotations


async def _send_to(
    membership: Membership, recipient: str, message: Mapping[str, object], sending: Sending, timeout: float
) -> Receipt:
    name = ""
    try:
        name = await _name(membership, recipient)
        sending.is_for(recipient, name)
        response = await membership.call_and_wait(recipient, message, timeout)
    except HubfarmError as error:
        response = error_response(str(error))
    return sending.arrived(Receipt(recipient, name, response))


async def _name(membership: Membership, client: str) -> str:
    metadata = await membership.call("getMetadata", client)
    return str(metadata.get("samp.name", "")) if isinstance(metadata, dict) else ""


async def find_client(membership: Membership, wanted: str) -> str:
    """Return the id of the client that has it or is called so, whatever the case.

    Raises
    ------
    WrongUse
        There is none, or there are several; the message lists them.
    """
    clients = await membership.call("getRegisteredClients")
    names = {str(client): await _name(membership, str(client)) for client in clients}
    if wanted in names:
        return wanted
    fitting = [client for client, name in names.items() if name.casefold() == wanted.casefold()]
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(f"{client} ({name})" if name else client for client, name in names.items())
    raise WrongUse(f"{len(fitting) or 'no'} clients are called {wanted!r}: there are {listed}")


Receipts = TypeVar("Receipts")
"""What sending data returns: a list of `Receipt`, or a coroutine that does."""

SendPrepared = Callable[[Membership, Prepared], Coroutine[Any, Any, list[Receipt]]]


class DataSending(Generic[Answer, Receipts]):
    """What users send, for synchronous and asyncio clients alike: with the latter, await it."""

    _outbox: Outbox
    enotify: Callable[..., Answer]
    enotify_all: Callable[..., Answer]

    @staticmethod
    def watch() -> Callable[[Progress], None]:
        """Begin to watch a sending: what this returns is told how it goes, in whatever thread, and returns at once.

        Nobody watches, unless a subclass does; ``%load_ext hubfarm`` shows in notebooks what takes long.
        """
        return lambda progress: None

    def _send_data(self, sending: Sending, prepare: Callable[[], Prepared], send: SendPrepared) -> Receipts:
        raise NotImplementedError

    def _send(self, kind: str, data: Any, name: str, id: str, to: str | None, serve: bool, timeout: float) -> Receipts:
        sending = Sending(kind, self.watch)
        return self._send_data(
            sending,
            lambda: prepare(kind, data, self._outbox, name=name, id=id),
            lambda membership, prepared: send(
                membership, self._outbox, prepared, sending, to=to, serve=serve, timeout=timeout
            ),
        )

    def send_table(
        self,
        table: Any,
        name: str = "",
        to: str | None = None,
        *,
        table_id: str = "",
        serve: bool = False,
        timeout: float = DATA_TIMEOUT,
    ) -> Receipts:
        """Send a table, and return what each recipient made of it.

        Parameters
        ----------
        table : Table, VOTableFile, path or str
            An astropy table, a file (what is neither VOTable nor FITS is read by astropy and sent
            as VOTable), or a URL.
        name : str
            What the recipients shall call it.
        to : str, optional
            A client's id or name; by default all that take tables.
        table_id : str
            How later messages name it; by default its URL.
        serve : bool
            Serve it over HTTP, for recipients on other hosts.
        timeout : float
            How long each recipient may take, seconds.

        Returns
        -------
        list of Receipt
            One a recipient; empty if nobody takes tables.

        Raises
        ------
        WrongUse
            There is no such file or client, or this is no table.
        """
        return self._send("table", table, name, table_id, to, serve, timeout)

    def send_image(
        self,
        image: Any,
        name: str = "",
        to: str | None = None,
        *,
        image_id: str = "",
        serve: bool = False,
        timeout: float = DATA_TIMEOUT,
    ) -> Receipts:
        """Send an image: an array, an HDU, CCDData, a FITS file or a URL; see `send_table`."""
        return self._send("image", image, name, image_id, to, serve, timeout)

    def send_spectrum(
        self,
        spectrum: Any,
        name: str = "",
        to: str | None = None,
        *,
        spectrum_id: str = "",
        serve: bool = False,
        timeout: float = DATA_TIMEOUT,
    ) -> Receipts:
        """Send a spectrum: a table, a specutils spectrum, a file or a URL; see `send_table`."""
        return self._send("spectrum", spectrum, name, spectrum_id, to, serve, timeout)

    def _tell(self, to: str | None, mtype: str, params: Map) -> Answer:
        return self.enotify(to, mtype, **params) if to else self.enotify_all(mtype, **params)

    def highlight_row(self, table: str, row: int, to: str | None = None) -> Answer:
        """Highlight a row of a table that was sent.

        Parameters
        ----------
        table : str
            The table's id, or its URL.
        row : int
            Which, the first is 0.
        to : str, optional
            A client's id; by default all that can.
        """
        return self._tell(to, "table.highlight.row", _table_params(table) | {"row": str(int(row))})

    def select_rows(self, table: str, rows: Collection[int], to: str | None = None) -> Answer:
        """Select rows of a table that was sent; see `highlight_row`."""
        return self._tell(
            to, "table.select.rowList", _table_params(table) | {"row-list": [str(int(row)) for row in rows]}
        )

    def point_at_sky(self, ra: Any, dec: float | None = None, to: str | None = None) -> Answer:
        """Point at a place on the sky.

        Parameters
        ----------
        ra, dec : float
            ICRS, degrees; or one astropy SkyCoord as `ra`.
        to : str, optional
            A client's id; by default all that can.
        """
        if dec is None:
            ra, dec = ra.icrs.ra.deg, ra.icrs.dec.deg
        return self._tell(to, "coord.pointAt.sky", {"ra": repr(float(ra)), "dec": repr(float(dec or 0))})


def _table_params(table: str) -> Map:
    params: Map = {"table-id": table}
    return params | {"url": table} if urlsplit(table).scheme else params


# ---------------------------------------------------------------------- receiving


def read_table(message: Message) -> Any:
    """Return the astropy Table that a ``table.load.*`` message is about.

    Its ``meta["samp"]`` holds the message's parameters.

    Raises
    ------
    WrongUse
        The message names no URL.
    """
    with needing_astropy("to read a table"):
        from astropy.table import Table

    url = message.params.get("url")
    if not isinstance(url, str):
        raise WrongUse(f"{message.mtype} needs the parameter url")
    source = file_path(url) if url.startswith("file:") else url
    table = Table.read(source, format=message.mtype.rpartition(".")[2])
    table.meta["samp"] = dict(message.params)
    return table
