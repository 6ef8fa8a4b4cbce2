"""One kept-alive, ordered connection to a URL.

`HttpClient.post` sends one body and returns the answer's.  Requests leave one after the
other.  Servers that close after each answer, say HTTP/1.0, send chunks, end the body with the
connection or their header lines with a bare LF (DS9) are all understood.
"""

import asyncio
import ssl
from typing import cast
from urllib.parse import SplitResult, urlsplit

import httptools

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.wire.bare_lf import CrlfHeads

MAX_HEAD = 64 * 2**10
MAX_BODY = 64 * 2**20


class HttpError(HubfarmError):
    """A POST has failed."""


class Unreachable(HttpError):
    """No connection could be made: the server has surely not seen the request.

    Parameters
    ----------
    text : str
        What happened.
    refused : bool
        The connection was refused: nobody listens there.
    """

    def __init__(self, text: str, *, refused: bool = False) -> None:
        super().__init__(text)
        self.refused = refused


class NoAnswer(HttpError):
    """The request was sent, and no whole answer came: the server may have seen it."""


class BadAnswer(HttpError):
    """The server answered with something other than HTTP 200."""


def check_http_url(url: str) -> SplitResult:
    """Return the parts of `url` if it is an ``http:`` or ``https:`` URL with a host.

    Raises
    ------
    WrongUse
        It is not.

    Examples
    --------
    >>> check_http_url("http://127.0.0.1:4000/xmlrpc").port
    4000
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character <= " " or character > "~" for character in url):
        raise WrongUse(f"not an http or https URL: {url[:200]!r}")
    return parts


class _Exchange(asyncio.Protocol):
    """One connection, and the one request that is under way on it."""

    def __init__(self) -> None:
        self.reusable = True
        self.answers = 0
        self.went_unanswered = False
        """The peer closed the connection with a request under way and not one byte of its answer."""
        self._transport: asyncio.Transport
        self._future: asyncio.Future[bytes] | None = None

    def request(self, data: bytes, future: "asyncio.Future[bytes]") -> None:
        self._future = future
        self._parser = httptools.HttpResponseParser(self)
        self._crlf = CrlfHeads(MAX_HEAD)
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._framed = False
        self._head_done = False
        self._heard = False
        self._transport.write(data)

    def _finish(self, error: HttpError | None = None) -> None:
        future, self._future = self._future, None
        if future is None or future.done():
            return
        status = self._parser.get_status_code() if self._head_done else 0
        if error is None and status != 200:
            self.reusable = False
            error = BadAnswer(f"answered HTTP {status}")
        if error is None:
            self.answers += 1
            future.set_result(b"".join(self._body))
        else:
            self.close()
            future.set_exception(error)

    def close(self) -> None:
        self.reusable = False
        self._transport.close()

    @property
    def local_host(self) -> str:
        return str(self._transport.get_extra_info("sockname")[0])

    # -------------------------------------------------------------- asyncio's events

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._future is None:
            return
        if self._head_done and not self._framed:
            self._finish()  # a body without a length ends with the connection
        else:
            self.went_unanswered = not self._heard
            self._finish(NoAnswer(f"the connection was closed before the answer was there{f': {exc}' if exc else ''}"))

    def data_received(self, data: bytes) -> None:
        if self._future is None:
            self.close()  # nothing was asked
            return
        self._heard = True
        if not self._crlf.transparent:
            data = self._crlf.feed(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._finish(BadAnswer(f"did not answer in HTTP: {error}"))
        if not self._head_done:
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._finish(BadAnswer(f"answered with a head of more than {MAX_HEAD} bytes"))

    # -------------------------------------------------------------- httptools' events

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > MAX_BODY:
            self._finish(BadAnswer(f"answered with more than {MAX_BODY} bytes"))
        else:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() < 200:
            self._head_done = self._framed = False  # an interim answer: the one asked for follows
            return
        if not self._parser.should_keep_alive():
            self.close()
        self._finish()


class HttpClient:
    """POSTs to one URL over one connection, in order.

    Parameters
    ----------
    url : str
        An ``http:`` or ``https:`` URL.
    connect_timeout : float
        How long a connection may take to be made, seconds.

    Raises
    ------
    WrongUse
        `url` is of another kind.
    """

    def __init__(self, url: str, *, connect_timeout: float = 5.0) -> None:
        parts = check_http_url(url)
        secure = parts.scheme == "https"
        self.url = url
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._ssl = ssl.create_default_context() if secure else None
        self._connect_timeout = connect_timeout
        self._exchange: _Exchange | None = None
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        self._head = (
            f"POST {target} HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
            "Content-Type: text/xml\r\nUser-Agent: hubfarm\r\nContent-Length: "
        ).encode("ascii")

    async def post(self, body: bytes, *, timeout: float) -> bytes:
        """Send `body`, return the body of the answer.

        Parameters
        ----------
        body : bytes
            What to send.
        timeout : float
            How long the answer may take once the connection stands, seconds.

        Raises
        ------
        Unreachable
            No connection could be made.
        NoAnswer
            The answer did not come in time, or the connection was closed instead.
        BadAnswer
            The answer was not HTTP 200.
        """
        data = b"%s%d\r\n\r\n%s" % (self._head, len(body), body)
        exchange = await self._connected()
        try:
            return await self._send(exchange, data, timeout)
        except NoAnswer:
            # A server may close a kept connection just as it is used again: that is no refusal.
            if not (exchange.answers and exchange.went_unanswered):
                raise
        return await self._send(await self._connected(), data, timeout)

    async def _send(self, exchange: _Exchange, data: bytes, timeout: float) -> bytes:
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        exchange.request(data, future)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout:g} s") from None
        finally:
            if not future.done() or future.cancelled():
                exchange.close()

    async def connect(self) -> None:
        """Make the connection, if none stands.

        Raises
        ------
        Unreachable
            None could be made.
        """
        await self._connected()

    async def _connected(self) -> _Exchange:
        if self._exchange is not None and self._exchange.reusable:
            return self._exchange
        try:
            async with asyncio.timeout(self._connect_timeout):
                _, self._exchange = await asyncio.get_running_loop().create_connection(
                    _Exchange, self._host, self._port, ssl=self._ssl
                )
        except TimeoutError:
            raise Unreachable(f"no connection to {self._host}:{self._port} in {self._connect_timeout:g} s") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a host that cannot be a name
            raise Unreachable(
                f"no connection to {self._host}:{self._port}: {getattr(error, 'strerror', None) or error}",
                refused=isinstance(error, ConnectionRefusedError),
            ) from None
        return self._exchange

    @property
    def connected(self) -> bool:
        """Whether a connection stands."""
        return self._exchange is not None and self._exchange.reusable

    @property
    def local_host(self) -> str:
        """The address of this end of the connection; empty if none stands."""
        return self._exchange.local_host if self._exchange is not None and self._exchange.reusable else ""

    def close(self) -> None:
        """Close the connection; a request that is under way ends as `NoAnswer`."""
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None


async def check_reachable(url: str) -> None:
    """Make a connection to `url`, and close it again.

    Raises
    ------
    Unreachable
        None could be made.
    """
    client = HttpClient(url)
    try:
        await client.connect()
    finally:
        client.close()
