"""What is asked over a line, and answered, as structures; and how the far end begins."""

from typing import TypeVar

import msgspec

from hubfarm.connect.exchanges import LineLost
from hubfarm.version import __version__

MAGIC = b"\0hubfarm line 1\n"
"""What the far end says first, behind whatever a shell says that greets people."""

LONGEST_GREETING = 64 * 2**10
"""Of a shell, bytes."""


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello"):
    """The near end asks for the hub.

    Parameters
    ----------
    release : str
        Its own.
    file_port : int
        Where files of the near host were served before; 0 for nowhere.
    carry_files : bool
        Serve them.
    """

    release: str = __version__
    file_port: int = 0
    carry_files: bool = True


class Call(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """The body is a call, for the hub.

    Parameters
    ----------
    fields : str
        Header fields, each ended by CRLF.
    seconds : float
        How long its answer may take.
    """

    fields: str = ""
    seconds: float


class Fetch(msgspec.Struct, frozen=True, kw_only=True, tag="fetch"):
    """The other end is to fetch a file, or what is behind a URL of its host.

    Parameters
    ----------
    url : str
        For the far end the URL; for the near end what stands for it.
    method : str
        ``GET`` or ``HEAD``.
    range : str
        What the reader's header ``Range`` says; empty for none.
    """

    url: str
    method: str = "GET"
    range: str = ""


Question = Hello | Call | Fetch


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The head of an answer; a `Call`'s and a `Fetch`'s have a body.

    Parameters
    ----------
    trouble : str
        Why there is none; empty if there is.
    secret : str
        To `Hello`: admits a client to the hub.
    release : str
        To `Hello`: that of the far end.
    names : list of str
        To `Hello`: what the far host is called by its own programs.
    file_port : int
        To `Hello`: where the near host's files are served there.
    status : int
        To `Fetch`: by HTTP.
    fields : dict of str to str
        To `Fetch`: header fields.
    """

    trouble: str = ""
    secret: str = ""
    release: str = ""
    names: list[str] = []
    file_port: int = 0
    status: int = 200
    fields: dict[str, str] = {}


T = TypeVar("T")


def written(said: Question | Answer) -> bytes:
    """Return what is said as it goes over a line."""
    return msgspec.json.encode(said)


def question_in(head: bytes) -> Question:
    """Return what was asked.

    Raises
    ------
    LineLost
        It is nothing that this release knows.
    """
    return _read(head, Question)  # type: ignore[arg-type]  # a union of types


def answer_in(head: bytes) -> Answer:
    """Return what was answered.

    Raises
    ------
    LineLost
        It is nothing that this release knows.
    """
    return _read(head, Answer)


def _read(head: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(head, type=kind)
    except msgspec.DecodeError as error:
        raise LineLost(f"the other end says what this release does not know: {error}") from None
