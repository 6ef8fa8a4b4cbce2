"""The pages that are on hubs by this gateway: who they are, and by which private key.

They are written down, so that a gateway that takes the place of a killed one knows them.  A page that has not been
heard of for long has gone; its hub finds that out by itself.
"""

import time
from collections.abc import Iterator

import msgspec

from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import BadLockFile, HubfarmError, WrongUse

MOST = 2000
"""Pages that are known at a time."""

SILENT = 120.0
"""A page that asks for nothing for so long has gone, seconds; a pull that waits is no silence."""

_LARGEST = 16 * 2**20


class Page(msgspec.Struct, kw_only=True):
    """One page on a hub.

    Parameters
    ----------
    key : str
        Its private key.
    client : str
        Its public id on its hub.
    hub : str
        That hub's label.
    origin, name, referer : str
        As in `hubfarm.gateway.consent.Question`.
    since : float
        When it came, seconds since 1970.
    """

    key: str
    client: str
    hub: str
    origin: str
    name: str
    referer: str
    since: float

    @property
    def id(self) -> str:
        """What people call it: its public id, and where."""
        return f"{self.hub}/{self.client}"


class Pages:
    """The pages of one farm.

    Parameters
    ----------
    paths : Paths
        Where they are written down.
    """

    def __init__(self, paths: Paths) -> None:
        self._path = paths.web_pages
        self._pages: dict[str, Page] = {}
        self._heard: dict[str, float] = {}
        self._busy: dict[str, int] = {}
        self._written: bytes | None = None

    def __iter__(self) -> Iterator[Page]:
        return iter(list(self._pages.values()))

    def __len__(self) -> int:
        return len(self._pages)

    def recall(self, now: float) -> None:
        """Know the pages that an earlier gateway has written down; those that have gone are forgotten soon."""
        try:
            pages = msgspec.json.decode(read_private(self._path, most=_LARGEST), type=list[Page])
        except (OSError, BadLockFile, msgspec.DecodeError):
            return
        self._pages = {page.key: page for page in pages[-MOST:]}
        self._heard = dict.fromkeys(self._pages, now)

    def add(self, page: Page, now: float) -> None:
        """Know one more."""
        self._pages[page.key] = page
        self._heard[page.key] = now

    def of(self, key: str) -> Page | None:
        """Return the page of a private key, if it is known."""
        return self._pages.get(key)

    def find(self, id: str) -> Page:
        """Return the page that people call so.

        Raises
        ------
        WrongUse
            There is none.
        """
        for page in self._pages.values():
            if page.id == id:
                return page
        raise WrongUse(f"there is no page {id[:80]!r}; hubfarm web ls lists them")

    def begin(self, key: str) -> None:
        """Note that a request of a page is under way."""
        self._busy[key] = self._busy.get(key, 0) + 1

    def end(self, key: str, now: float) -> None:
        """Note that it is done."""
        if key in self._pages:
            self._heard[key] = now
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]

    def remove(self, key: str) -> bool:
        """Know a page no more; tell whether it was known."""
        self._heard.pop(key, None)
        return self._pages.pop(key, None) is not None

    def forget_silent(self, now: float) -> bool:
        """Forget those that have gone, and the oldest if there are too many; tell whether there were any."""
        gone = [key for key, heard in self._heard.items() if key not in self._busy and now - heard >= SILENT]
        gone += list(self._pages)[: max(0, len(self._pages) - len(gone) - MOST)]
        for key in gone:
            self.remove(key)
        return bool(gone)

    def write_down(self) -> None:
        """Write them down, if anything has changed.

        Raises
        ------
        HubfarmError
            The disk is full, or the directory cannot be written.
        """
        written = msgspec.json.encode(list(self._pages.values()))
        if written != self._written:
            write_private(self._path, written.decode())
            self._written = written


def new_page(told: dict[str, object], hub: str, origin: str, name: str, referer: str) -> Page:
    """Return the page that a hub has just registered.

    Raises
    ------
    HubfarmError
        What the hub has told is no registration.
    """
    key, client = told.get("samp.private-key"), told.get("samp.self-id")
    if not isinstance(key, str) or not isinstance(client, str):
        raise HubfarmError("the hub's answer to a registration has no private key")
    return Page(key=key, client=client, hub=hub, origin=origin, name=name, referer=referer, since=time.time())
