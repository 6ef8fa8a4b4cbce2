"""What a farm remembers of web pages: which origin may enter which hub, and whether pages may come at all.

A TOML file that people can read and edit.  Commands and the gateway change it under a lock, and read it anew each time.

Rule: what cannot be read allows nothing, and is not overwritten.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec

from hubfarm.registry.files import lstat_or_none, read_private, write_private
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import BadLockFile, HubfarmError
from hubfarm.spec.origins import can_be_remembered, check_origin

ALWAYS = "always"
"""Allowed until somebody forgets it."""
ASK = "ask"
"""Not allowed: the user is asked, this hub first."""

MOST = 1000
"""Pages that are remembered."""

_LARGEST = 2**20
_LOCK_TIMEOUT = 5.0
_HEAD = """\
# Web pages that may enter hubs of this farm. hubfarm web writes this file, and you may edit it.
# allowed is "always", or until when ("2026-12-02T10:00:00Z"), or "ask": then this hub is only offered first.
"""


class RememberedPage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is remembered of one origin and one hub.

    Parameters
    ----------
    origin : str
        Where the page comes from.
    hub : str
        The hub's label.
    allowed : str
        `ALWAYS`, `ASK`, or until when, as ISO 8601 has it.
    """

    origin: str
    hub: str
    allowed: str = ASK

    def __post_init__(self) -> None:
        if (usual := check_origin(self.origin)) != self.origin:
            raise ValueError(f"the origin {self.origin!r} is written {usual}")
        if not self.hub:
            raise ValueError(f"of {self.origin} no hub is named: write its label")
        if self.allowed not in (ALWAYS, ASK):
            try:
                _moment(self.allowed)
            except ValueError:
                raise ValueError(
                    f'allowed is {self.allowed!r}: write "{ALWAYS}", "{ASK}", or until when, as "2026-12-02T10:00:00Z"'
                ) from None

    def lets_in(self, now: float) -> bool:
        """Tell whether the page may enter unasked at a time, seconds since 1970."""
        return self.allowed == ALWAYS or (self.allowed != ASK and now < _moment(self.allowed))


def until(moment: float) -> str:
    """Return a time, seconds since 1970, as `RememberedPage.allowed` has it.

    Examples
    --------
    >>> until(1.8e9)
    '2027-01-15T08:00:00Z'
    """
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> float:
    parsed = datetime.fromisoformat(text)
    return (parsed if parsed.tzinfo else parsed.astimezone()).timestamp()


class Memory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that is remembered.

    Parameters
    ----------
    on : bool
        Whether pages may come at all.
    page : tuple of RememberedPage
        The pages, the one that was allowed or asked last at the end.
    """

    on: bool = True
    page: tuple[RememberedPage, ...] = ()

    def hub_for(self, origin: str, now: float) -> str:
        """Return the label of the hub that pages of an origin may enter unasked, empty if there is none."""
        return next((each.hub for each in reversed(self.page) if each.origin == origin and each.lets_in(now)), "")

    def last_hub_of(self, origin: str) -> str:
        """Return the label of the hub that a page of this origin was on last, empty if that is not known."""
        return next((each.hub for each in reversed(self.page) if each.origin == origin), "")

    def with_page(self, page: RememberedPage) -> "Memory":
        """Return the memory with this one too, in place of what it said of that origin."""
        others = [each for each in self.page if each.origin != page.origin]
        return msgspec.structs.replace(self, page=(*others, page)[-MOST:])

    def without(self, origin: str) -> "Memory":
        """Return the memory without an origin."""
        return msgspec.structs.replace(self, page=tuple(each for each in self.page if each.origin != origin))


class WebMemory:
    """The file of one farm.

    Parameters
    ----------
    paths : Paths
        Where it lies.
    """

    def __init__(self, paths: Paths) -> None:
        self.path = paths.web_memory
        self._lock = paths.web_memory.with_suffix(".lock")

    def read(self) -> Memory:
        """Return what is remembered.

        Raises
        ------
        HubfarmError
            The file cannot be read, or makes no sense; the message says where.
        """
        try:
            return msgspec.toml.decode(read_private(self.path, most=_LARGEST), type=Memory)
        except FileNotFoundError:
            return Memory()
        except OSError as error:
            raise HubfarmError(f"cannot read {self.path}: {error.strerror}") from None
        except (BadLockFile, msgspec.DecodeError, ValueError, RecursionError) as error:
            raise HubfarmError(f"{self.path}: {error}; mend it or remove it") from None

    def change(self, change: Callable[[Memory], Memory]) -> Memory:
        """Read, change and write it, while nobody else does; return what it is now.

        Raises
        ------
        HubfarmError
            It cannot be read or written.
        """
        with holding(self._lock, timeout=_LOCK_TIMEOUT, by="another process"):
            before = self.read()
            after = change(before)
            if after != before:
                write_private(self.path, as_toml(after))
            return after

    def note(self, origin: str, hub: str, allowed: str = ASK) -> None:
        """Remember that a page has entered a hub, if its origin can be remembered; what lets it in stays.

        Raises
        ------
        HubfarmError
            It cannot be read or written.
        """
        page = RememberedPage(origin=origin, hub=hub, allowed=allowed) if can_be_remembered(origin) else None

        def noted(memory: Memory) -> Memory:
            if page is None or (allowed == ASK and memory.hub_for(origin, time.time())):
                return memory
            return memory.with_page(page)

        self.change(noted)

    def edition(self) -> tuple[int, int]:
        """Return what changes whenever the file is written."""
        status = lstat_or_none(self.path)
        return (status.st_ino, status.st_mtime_ns) if status else (0, 0)


def as_toml(memory: Memory) -> str:
    """Return the memory as it stands in the file; what lets in nobody any more is told as that.

    Examples
    --------
    >>> print(as_toml(Memory(page=(RememberedPage(origin="https://a.example", hub="mima-1", allowed="always"),))))
    # Web pages that may enter hubs of this farm. hubfarm web writes this file, and you may edit it.
    # allowed is "always", or until when ("2026-12-02T10:00:00Z"), or "ask": then this hub is only offered first.
    on = true
    <BLANKLINE>
    [[page]]
    origin = "https://a.example"
    hub = "mima-1"
    allowed = "always"
    <BLANKLINE>
    """
    now = time.time()
    lines = [f"on = {'true' if memory.on else 'false'}", ""]
    for page in memory.page:
        allowed = page.allowed if page.lets_in(now) else ASK
        lines += ["[[page]]", *(f"{name} = {_text(value)}" for name, value in (
            ("origin", page.origin), ("hub", page.hub), ("allowed", allowed),
        )), ""]  # fmt: skip
    return _HEAD + "\n".join(lines)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
