"""Watch a hub: see what all its clients say to each other, and be none of them.

`watch` is one look, which ends with the hub's process; `follow` goes on with a successor.  The hub waits for no
watcher: what one was too slow for, it is told the number of (`Missed`).
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from urllib.parse import quote, urlsplit

import httptools

from hubfarm.access.genuine import is_listened_at, objection, present
from hubfarm.client.credentials import Credentials
from hubfarm.registry.entry import label_of
from hubfarm.registry.tickets import is_ticket
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import SECRET, URL
from hubfarm.spec.watching import CONTENT_TYPE, Ended, Event, Unpacker
from hubfarm.visible import brief
from hubfarm.wire.urls import check_http_url
from hubfarm.wire.web_door import DOOR, TICKET, watch_credential

TIMEOUT = 10.0
"""How long a hub may take to let somebody watch, seconds."""

COMES_BACK = 15.0
"""How long a hub whose process has gone is waited for while its port is held for it, seconds."""

AGAIN = 0.05
"""Between two looks whether it is back, seconds."""

READ = 256 * 2**10
"""So much is read at a time, bytes."""

LONGEST_REFUSAL = 4096
"""Of why a hub lets nobody watch no more is read, bytes."""


class NotWatched(HubfarmError):
    """The hub is not there, or does not let us watch."""


class _Answer:
    """The answer to a request to watch: the parser's callbacks are named for its events."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.fields: dict[bytes, bytes] = {}
        self.has_head = self.is_over = False
        self._body: list[bytes] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.is_over = True

    @property
    def is_watch(self) -> bool:
        return self.parser.get_status_code() == 200 and self.fields.get(b"content-type") == CONTENT_TYPE.encode()

    def refusal(self, body: bytes) -> str:
        """Say why nothing is done, by the answer's body."""
        status = self.parser.get_status_code()
        is_text = b"text/plain" in self.fields.get(b"content-type", b"")
        text = brief(body.decode(errors="replace").strip(), 400) if is_text else ""
        known = status in (403, 503) or text == "there is no such client"
        return text if known and text else f"it is of another release{'' if status == 200 else f' (HTTP {status})'}"

    def feed(self, data: bytes) -> bytes:
        """Parse what has come, return what of the body is in it."""
        self.parser.feed_data(data)
        body = b"".join(self._body)
        self._body.clear()
        return body


@asynccontextmanager
async def watch(
    tokens: Mapping[str, str],
    *,
    name: str,
    content: int = 0,
    credentials: Credentials | None = None,
    ticket: str = "",
    owner: int | None = None,
) -> AsyncIterator[AsyncIterator[Event]]:
    """Watch a hub of hubfarm; yield what iterates over what it tells, until it ends.

    Parameters
    ----------
    tokens : dict of str to str
        The content of the hub's lock file, or of a ticket's.
    name : str
        What the hub's clients are told of who watches.
    content : int
        Longest content of a message that is wanted, bytes as encoded.
    credentials : Credentials, optional
        Who watches; a hub that does not let in everybody asks for it.
    ticket : str
        A ticket's secret, likewise.
    owner : int, optional
        The account (its uid) whose the lock file is.

    Raises
    ------
    NotWatched
        The hub is not there, or does not let us watch.

    Examples
    --------
    >>> import asyncio
    >>> from hubfarm import SAMPHubServer
    >>> async def first(tokens):
    ...     async with watch(tokens, name="an example") as events:
    ...         async for event in events:
    ...             return event
    >>> with SAMPHubServer(label="watched", mode="multiple", web_profile=False) as hub:
    ...     asyncio.run(first(hub.params)).hub
    'watched'
    """
    who = credentials or Credentials()
    target = f"/watch?content={content}&name={quote(name, safe='')}"
    reader, writer, answer, begin = await _ask(tokens, who, ticket, owner, "GET", target)
    if not answer.is_watch:
        writer.transport.abort()
        raise NotWatched(f"{_called(tokens)} does not let you watch: {answer.refusal(begin)}")
    events = _events(reader, answer, begin)
    try:
        yield events
    finally:
        await events.aclose()
        writer.transport.abort()  # it says nothing that would have to be heard


async def disconnect(
    tokens: Mapping[str, str],
    client: str,
    *,
    by: str,
    credentials: Credentials | None = None,
    ticket: str = "",
    owner: int | None = None,
) -> None:
    """Have a client leave its hub, as its owner, an administrator, or on an open hub the farm's account may.

    Parameters
    ----------
    tokens : dict of str to str
        The content of the hub's lock file, or of a ticket's.
    client : str
        The client's id.
    by : str
        What the client is told of who wants that.
    credentials, ticket, owner
        As in `watch`.

    Raises
    ------
    NotWatched
        The hub is not there, does not let us, or has no such client.
    """
    target = f"/disconnect?client={quote(client, safe='')}&by={quote(by, safe='')}"
    _, writer, answer, begin = await _ask(tokens, credentials or Credentials(), ticket, owner, "POST", target)
    writer.transport.abort()
    if answer.parser.get_status_code() != 200:
        raise NotWatched(f"{_called(tokens)} disconnects nobody: {answer.refusal(begin)}")


def _called(tokens: Mapping[str, str]) -> str:
    return label_of(tokens) or tokens.get(URL, "the hub")


async def _ask(
    tokens: Mapping[str, str], who: Credentials, ticket: str, owner: int | None, method: str, target: str
) -> "tuple[asyncio.StreamReader, asyncio.StreamWriter, _Answer, bytes]":
    """Ask at the door for watchers; return what has come of the answer, and what more comes by.

    A refusal is read whole, as far as it is not long.

    Raises
    ------
    NotWatched
        Nobody answers there.
    """
    called = _called(tokens)
    if "hubfarm.id" not in tokens:
        raise NotWatched(f"{called} is another program's hub: those of hubfarm can be watched")
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await _connect(tokens, who, owner)
            answer = _Answer()
            try:
                writer.write(await _request(tokens, who, ticket, method, target))
                begin = await _read_head(reader, answer)
                if not answer.is_watch:
                    begin = await _read_refusal(reader, answer, begin)
            except BaseException:
                writer.transport.abort()
                raise
    except TimeoutError:
        raise NotWatched(f"{called} does not answer within {TIMEOUT:g} s") from None
    except (OSError, EOFError) as error:
        raise NotWatched(f"{called} does not answer: {getattr(error, 'strerror', None) or error}") from None
    except (httptools.HttpParserError, UnicodeError) as error:
        raise NotWatched(f"{called} does not answer in HTTP: {error}") from None
    return reader, writer, answer, begin


async def _connect(
    tokens: Mapping[str, str], who: Credentials, owner: int | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = check_http_url(tokens[URL].replace("\\", ""))
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    contexts: list[ssl.SSLContext | None] = [None]
    if parts.scheme == "https":
        contexts = [*await asyncio.to_thread(who.contexts, tokens)]
    reader, writer = await _open(host, port, contexts)
    peer = str(writer.get_extra_info("peername")[0])
    if foreign := await asyncio.to_thread(objection, tokens, owner, peer):
        writer.transport.abort()
        raise NotWatched(foreign)
    return reader, writer


async def _open(
    host: str, port: int, contexts: list[ssl.SSLContext | None]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for context in contexts[:-1]:
        with suppress(ssl.SSLCertVerificationError):
            return await asyncio.open_connection(host, port, ssl=context, limit=READ)
    return await asyncio.open_connection(host, port, ssl=contexts[-1], limit=READ)


async def _request(tokens: Mapping[str, str], who: Credentials, ticket: str, method: str, target: str) -> bytes:
    secret = tokens[SECRET]
    shown = ticket or (secret if is_ticket(secret) else "")
    fields = [f"{DOOR}: watch {watch_credential(secret)}"]
    if who.user:
        fields.append(f"Authorization: {(await who.authorization()).decode()}")
    elif shown:
        fields.append(f"{TICKET}: {shown}")
    netloc = urlsplit(tokens[URL].replace("\\", "")).netloc.rpartition("@")[2]
    if method == "POST":
        fields.append("Content-Length: 0")
    return "".join(f"{line}\r\n" for line in (f"{method} {target} HTTP/1.1", f"Host: {netloc}", *fields, "")).encode()


async def _read_head(reader: asyncio.StreamReader, answer: _Answer) -> bytes:
    """Read until the answer's head is whole, return what of the body came with it."""
    begin = b""
    while not answer.has_head:
        data = await reader.read(READ)
        if not data:
            raise EOFError("the connection was closed")
        begin += answer.feed(data)
    return begin


async def _read_refusal(reader: asyncio.StreamReader, answer: _Answer, begin: bytes) -> bytes:
    while not answer.is_over and len(begin) < LONGEST_REFUSAL and (data := await reader.read(READ)):
        begin += answer.feed(data)
    return begin


async def _events(reader: asyncio.StreamReader, answer: _Answer, begin: bytes) -> AsyncGenerator[Event, None]:
    unpacker, body = Unpacker(), begin
    while True:
        for event in unpacker.feed(body):
            yield event
        if answer.is_over:
            return
        try:
            data = await reader.read(READ)
            body = answer.feed(data)
        except (OSError, httptools.HttpParserError):
            return
        if not data:
            return


async def follow(
    tokens: Mapping[str, str],
    *,
    name: str,
    content: int = 0,
    credentials: Credentials | None = None,
    ticket: str = "",
    owner: int | None = None,
) -> AsyncIterator[Event]:
    """Yield what a hub tells, also over its restarts, until it has ended.

    A successor begins with a `Hello` of its own; what happened meanwhile nobody tells.  Parameters are those of
    `watch`.

    Raises
    ------
    NotWatched
        The hub is not there, or does not let us watch.
    """
    while True:
        async with watch(
            tokens, name=name, content=content, credentials=credentials, ticket=ticket, owner=owner
        ) as events:
            async for event in events:
                if isinstance(event, Ended) and not event.again:
                    yield event
                    return
                yield event
        successor = await _successor(tokens)
        if successor is None:
            yield Ended(reason="it does not run any more")
            return
        tokens = successor


async def _successor(tokens: Mapping[str, str]) -> Mapping[str, str] | None:
    """Return what leads to the hub now that its process has gone; None if it does not come back."""
    loop = asyncio.get_running_loop()
    until = loop.time() + COMES_BACK
    while True:
        found = await asyncio.to_thread(present, tokens)
        if found is not None and found.get("hubfarm.pid") != tokens.get("hubfarm.pid"):
            return found
        if loop.time() >= until or not is_listened_at(tokens):
            return None
        await asyncio.sleep(AGAIN)
