"""Find hubs: which answer, which lock file names which, and how a client says which one it means.

Every hub is asked at once, so that dead and slow ones together cost one timeout.

Rule: lock files are other people's.  One that describes no hub is passed over, whatever is in it; only the one
that was named is refused, with the reason.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from hubfarm.access.genuine import objection
from hubfarm.access.shared import shared_entries
from hubfarm.client.background import borrowed
from hubfarm.client.errors import SAMPHubNotNamed
from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.files import read_with_status
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import NoSuchHub, SeveralHubs, select_by_names
from hubfarm.samp import lockfile
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse
from hubfarm.samp.toolkit import SAMPHubError
from hubfarm.standard_hub import PING_TIMEOUT, answers

_MAX_LOCK_FILE = 64 * 2**10
KNOWN_BY = "sha256="
"""What the fragment of a lock file's URL begins with that names the certificate of who serves it."""

_MOST_AT_ONCE = 250
"""How many hubs are asked at a time: each takes a descriptor, and many processes may have a thousand only."""


class HubLike(Protocol):
    """A hub in this program, as `SAMPHubServer`."""

    @property
    def is_running(self) -> bool:
        """Whether it serves."""

    @property
    def params(self) -> Mapping[str, str]:
        """Its lock file's content."""


# ---------------------------------------------------------------------- who answers


def answering_hubs(urls: Collection[str], timeout: float = PING_TIMEOUT) -> set[str]:
    """Return those of `urls` behind which a hub answers ``samp.hub.ping`` (SAMP 1.3, 4.3.1).

    Dead and slow ones together cost `timeout` once, as all are asked at the same time.

    Parameters
    ----------
    urls : collection of str
        XML-RPC endpoints of hubs.
    timeout : float
        How long each may take, seconds.

    Examples
    --------
    >>> answering_hubs(["http://127.0.0.1:9/"])
    set()
    """
    if not urls:
        return set()
    with borrowed() as background:
        return background.run(_ask_all(urls, timeout))


async def _ask_all(urls: Collection[str], timeout: float) -> set[str]:
    room = asyncio.Semaphore(_MOST_AT_ONCE)

    async def answering(url: str) -> bool:
        async with room:
            return await answers(url, timeout)

    distinct = set(urls)
    answered = await asyncio.gather(*map(answering, distinct))
    return {url for url, yes in zip(distinct, answered, strict=True) if yes}


async def running_hubs(timeout: float = PING_TIMEOUT) -> dict[str, dict[str, str]]:
    """Return the hubs that answer: of ``~/.samp``, of ``~/.samp-1``, and the one that ``SAMP_HUB`` names.

    Parameters
    ----------
    timeout : float
        How long they may take to answer, all of them together, seconds.

    Returns
    -------
    dict of str to dict
        Lock files (by path; for ``SAMP_HUB`` by the URL in it), and each one's content.

    Raises
    ------
    HubfarmError
        The lock directory cannot be read, or is somebody else's.
    """
    entries = entries_near()
    found = {str(entry.path): dict(entry.tokens) for entry in entries}
    named = os.environ.get("SAMP_HUB")
    if named:
        with contextlib.suppress(HubfarmError):
            url = lockfile.parse_samp_hub(named)
            file = await find_lock_file(url, timeout)
            if not objection(file.tokens, file.owner):
                found.setdefault(_key(url), file.tokens)
    not_asked = {entry.url for entry in entries if _need_not_ask(entry)}
    answering = not_asked | await _ask_all({tokens[lockfile.URL] for tokens in found.values()} - not_asked, timeout)
    return {path: tokens for path, tokens in found.items() if tokens[lockfile.URL] in answering}


def _key(url: str) -> str:
    # A file that is listed already, or leads to one that is, is no second hub.
    with contextlib.suppress(ValueError, OSError, RuntimeError):  # no file's, or in a circle of links
        path = lockfile.file_path(url).resolve()
        if path.parent == Paths.from_environment().lockdir.resolve():
            return str(Paths.from_environment().lockdir / path.name)
        if path == Paths.from_environment().single:
            return str(path)
    return url


def entries_near(paths: Paths | None = None) -> list[Entry]:
    """Return the lock files of hubs that can be asked from here, others' shared ones too; what has a problem is none.

    Parameters
    ----------
    paths : Paths, optional
        Where they lie; by default as the environment says.

    Raises
    ------
    HubfarmError
        The lock directory cannot be read, or is somebody else's.
    """
    paths = paths or Paths.from_environment()
    entries = LockDir(paths).scan()
    own = [entry for entry in entries if not entry.problem and entry.standing is not Standing.DEAD and _near(entry)]
    own = [entry for entry in own if not (entry.standing is Standing.FOREIGN and objection(entry.tokens, os.getuid()))]
    return own + (shared_entries(paths) if os.path.isdir(paths.shared) else [])


def _need_not_ask(entry: Entry) -> bool:
    """Tell whether a hub lives that is not to be asked here: it would wake, or answers those who show a certificate."""
    for_some = entry.tokens.get("hubfarm.tls.need-client-cert") == "yes"
    return entry.standing is Standing.ALIVE and (entry.dormant or for_some)


def _near(entry: Entry) -> bool:
    # Another host's loopback address is our own loopback's, where somebody else may answer.
    host = urlsplit(entry.url).hostname or ""
    with contextlib.suppress(ValueError):
        return entry.standing is not Standing.ELSEWHERE or not ip_address(host).is_loopback
    return entry.standing is not Standing.ELSEWHERE or host not in ("localhost", socket.gethostname())


# ---------------------------------------------------------------------- which is meant


@dataclass(frozen=True, slots=True)
class Found:
    """A lock file that was found.

    Parameters
    ----------
    tokens : dict of str to str
        Its content.
    owner : int or None
        The account (its uid) whose it is, and its hub; None if nothing tells.
    """

    tokens: dict[str, str]
    owner: int | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which hub a client is to connect to; found anew each time it is asked for.

    Nothing given, it is what ``SAMP_HUB`` or ``~/.samp`` names (SAMP 1.3, 4.3).

    Parameters
    ----------
    hub : SAMPHubServer, path or str, optional
        A hub in this program; or a lock file by its path or URL, or a value of ``SAMP_HUB``.
    hub_params : dict, optional
        A lock file's content, of whatever host.
    label, owner, group : str
        One of the hubs that run: by its label or the label's unique beginning, owner, group.
    ticket : str
        What is shown to it in place of its secret: a ticket's lock file (which names the hub too, if nothing else
        does), that file's URL, or the secret in it.

    Raises
    ------
    SAMPHubNotNamed
        More than one of these ways is used.
    """

    hub: "HubLike | str | os.PathLike[str] | None" = None
    hub_params: Mapping[str, str] | None = None
    label: str = ""
    owner: str = ""
    group: str = ""
    ticket: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        ways = (self.hub is not None, self.hub_params is not None, bool(self.label or self.owner or self.group))
        if sum(ways) > 1:
            raise SAMPHubNotNamed("name the hub in one way: by hub, by hub_params, or by label, owner and group")

    def or_else(self, other: "Choice") -> "Choice":
        """Return this, or `other` if nothing is given in this."""
        return other if self == Choice() else self

    async def tokens(self, timeout: float = PING_TIMEOUT) -> dict[str, str]:
        """Return the lock file's content of the hub that is meant; see `find`."""
        return (await self.find(timeout)).tokens

    async def find(self, timeout: float = PING_TIMEOUT) -> Found:
        """Return the lock file of the hub that is meant.

        Parameters
        ----------
        timeout : float
            How long finding it may take, seconds.

        Raises
        ------
        SAMPHubNotNamed
            Several are meant, and the message lists them; or ``SAMP_HUB`` names no lock file.
        SAMPHubError
            There is no such hub.
        """
        if not self.ticket:
            return await self._find(timeout)
        secret = self.ticket
        if "/" in self.ticket:
            ticket = await find_lock_file(self.ticket, timeout)
            if self == Choice(ticket=self.ticket):
                return ticket
            secret = ticket.tokens[lockfile.SECRET]
        found = await self._find(timeout)
        return replace(found, tokens=found.tokens | {lockfile.SECRET: secret})

    async def _find(self, timeout: float) -> Found:
        if self.hub_params is not None:
            return Found(dict(self.hub_params))
        if self.label or self.owner or self.group:
            entry = await self._selected(timeout)
            return Found(dict(entry.tokens), os.getuid())  # the directory is ours; a shared one's tokens say whose
        if isinstance(self.hub, str | os.PathLike):
            return await find_lock_file(os.fspath(self.hub), timeout)
        if self.hub is not None:
            if not self.hub.is_running:
                raise SAMPHubError("the hub is not running: start it first")
            return Found(dict(self.hub.params))
        return await find_lock_file(standard_lock_url(), timeout)

    async def _selected(self, timeout: float) -> Entry:
        try:
            hubs = await selectable_hubs(timeout)
            return select_by_names(hubs, label=self.label, owner=self.owner, group=self.group)
        except SeveralHubs as error:
            raise SAMPHubNotNamed(str(error)) from None
        except NoSuchHub as error:
            raise SAMPHubError(str(error)) from None


def ticket_text(ticket: str | os.PathLike[str]) -> str:
    """Return a ticket as `Choice` has it: a path as an absolute one, so that it cannot be taken for a secret."""
    return ticket if isinstance(ticket, str) else os.path.abspath(ticket)


def standard_lock_url() -> str:
    """Return where the lock file of the standard's one hub lies: the URL of ``SAMP_HUB``, or the path ``~/.samp``.

    Raises
    ------
    SAMPHubNotNamed
        ``SAMP_HUB`` names no lock file.
    """
    named = os.environ.get("SAMP_HUB")
    try:
        return lockfile.parse_samp_hub(named) if named else str(Path.home() / ".samp")
    except WrongUse as error:
        raise SAMPHubNotNamed(str(error)) from None


async def selectable_hubs(timeout: float = PING_TIMEOUT) -> list[Entry]:
    """Return the hubs that answer, each once, in the order of their ids.

    Parameters
    ----------
    timeout : float
        How long they may take to answer, all of them together, seconds.
    """
    by_url = {
        entry.url: entry for entry in entries_near()
    }  # a copy of a lock file, as ~/.samp, comes before the original
    not_asked = {url for url, entry in by_url.items() if _need_not_ask(entry)}
    answering = not_asked | await _ask_all(by_url.keys() - not_asked, timeout)
    hubs = [entry for url, entry in by_url.items() if url in answering]
    return sorted(hubs, key=lambda hub: (hub.name is None, hub.name.id if hub.name else 0, hub.path))


async def read_hub(named: str, timeout: float = PING_TIMEOUT) -> dict[str, str]:
    """Return a lock file's content; see `find_lock_file`."""
    return (await find_lock_file(named, timeout)).tokens


async def find_lock_file(named: str, timeout: float = PING_TIMEOUT) -> Found:
    """Read a lock file.

    Parameters
    ----------
    named : str
        Its path, its URL (``file:``, ``http:``, ``https:``), or a value of ``SAMP_HUB``.
    timeout : float
        How long fetching it may take, seconds.

    Raises
    ------
    SAMPHubNotNamed
        `named` is neither a path nor such a URL.
    SAMPHubError
        There is none, or it describes no hub.
    """
    url = named.removeprefix("std-lockurl:")
    try:
        owner = None
        if urlsplit(url).scheme in ("http", "https"):
            text = await _fetch(url, timeout)
        else:
            path = lockfile.file_path(url) if url.startswith("file:") else Path(url)
            text, status = read_with_status(path, follow=True)
            owner = status.st_uid
        return Found(dict(lockfile.check_required(lockfile.parse(text))), owner)
    except FileNotFoundError:
        raise SAMPHubError(
            f"no hub runs there: {url} is missing; start one, or choose one of the farm by label, owner or group"
        ) from None
    except OSError as error:
        raise SAMPHubError(f"cannot read the lock file {lockfile.shown(url)}: {error.strerror or error}") from None
    except BadLockFile as error:
        raise SAMPHubError(f"{lockfile.shown(url)} is no lock file: {error}") from None
    except ValueError as error:  # no URL, or one of a file on another host
        raise SAMPHubNotNamed(f"this names no lock file: {error}") from None


async def _fetch(url: str, timeout: float) -> str:
    import aiohttp  # a tenth of a second, and only lock files of other hosts need it

    url, _, known_by = url.partition("#")
    try:
        sha256 = known_by.removeprefix(KNOWN_BY) if known_by.startswith(KNOWN_BY) else ""
        trust = aiohttp.Fingerprint(bytes.fromhex(sha256)) if sha256 else True
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout), raise_for_status=True) as session,
            session.get(url, ssl=trust) as response,
        ):
            text = bytearray()
            async for chunk in response.content.iter_any():  # a read returns what has come, which may be a part
                text += chunk
                if len(text) > _MAX_LOCK_FILE:
                    raise BadLockFile(f"larger than {_MAX_LOCK_FILE} bytes")
            return text.decode("utf-8", "replace")
    except aiohttp.ServerFingerprintMismatch as error:
        raise SAMPHubError(
            f"this is not the hub that is meant: it shows the certificate {error.got.hex()}, not {known_by}"
        ) from None
    except (aiohttp.ClientError, TimeoutError) as error:
        why = f"HTTP {error.status}" if isinstance(error, aiohttp.ClientResponseError) else error or "no answer in time"
        raise SAMPHubError(f"cannot fetch the lock file {lockfile.shown(url)}: {why}") from None
