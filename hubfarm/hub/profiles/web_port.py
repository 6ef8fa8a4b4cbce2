"""The Web Profile's own port of a hub in a program: browsers speak with the hub, without a gateway (SAMP 1.3, 5).

What a gateway does for the hubs of a farm is done here in process: pages of every origin may speak (CORS), the user is
asked about each that registers, and what pages may read is read for them.
"""

import asyncio
import stat
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import unquote, urlsplit

from loguru import logger

from hubfarm.hub.profiles.profile import Answered, Inside, answer_with, refuse
from hubfarm.hub.profiles.web import WebProfile, name_in
from hubfarm.samp.errors import Fault, HubfarmError
from hubfarm.samp.values import Value
from hubfarm.samp.xmlrpc import EncodedMap, Param
from hubfarm.spec.principal import Principal
from hubfarm.visible import visible
from hubfarm.wire.addresses import is_loopback
from hubfarm.wire.cors import origin_of, preflight, readable
from hubfarm.wire.http_messages import Request, Response, encode_fields

LONGEST_READ = 256 * 2**20
"""What a page reads through the translator is held in memory meanwhile, and has no more bytes."""

READ_TIMEOUT = 30.0
"""How long another server may take for a page, seconds."""

_TRANSLATOR = b"/translator/"

Ask = Callable[[Value, tuple[str, int], str], Awaitable[bool]]
"""Asks the user about a page: by its identity as it has given it, its address and its origin."""


class WebPort(WebProfile):
    """The Web Profile of one hub, for browsers.

    Parameters
    ----------
    inside : Inside
        As for `WebProfile`.
    ask : callable
        Asks the user whether a page may come in.
    port : int
        On which it is reached.
    is_ours : callable
        Tells whether a ``Host`` header names this host.
    """

    def __init__(self, inside: Inside, *, ask: Ask, port: int, is_ours: Callable[[bytes], bool]) -> None:
        super().__init__(inside)
        self._ask = ask
        self._port = port
        self._is_ours = is_ours
        self._reader: ThreadPoolExecutor | None = None

    def answer(self, request: Request) -> Answered:
        """Answer a request of a browser's, so that the page may read it."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in request.headers.items()}
        refusal = self._refuse(request)
        if refusal is not None:
            return refusal
        if request.method == b"OPTIONS" and (allowed := preflight(headers)) is not None:
            return Response(b"", content_type=b"text/plain", fields=encode_fields(allowed))
        fields = encode_fields(readable(headers))
        answer = self._answer_to(request)
        if isinstance(answer, Response):
            return answer._replace(fields=fields)
        return asyncio.ensure_future(_with_fields(answer, fields))

    def admit(self, request: Request) -> Response | None:
        """Return what is to be answered to a request whose body is long, if it is not to be read on."""
        return self._refuse(request) or self.refusal_of(request)

    def _refuse(self, request: Request) -> Response | None:
        if not is_loopback(request.peer):
            return _plain(403, "only this host's browsers may speak here")
        if b"host" in request.headers and not self._is_ours(request.headers[b"host"]):
            return _plain(403, "this is localhost, and has no such name")  # DNS rebinding
        return None

    def _answer_to(self, request: Request) -> Answered:
        if request.method == b"POST":
            return self.handle(request)
        if request.method == b"GET" and request.target.startswith(_TRANSLATOR):
            return self._translate(request)
        return _plain(404, "this is the Web Profile of a SAMP hub: it takes XML-RPC by POST")

    # ------------------------------------------------------------------ consent

    def _register(self, params: Sequence[Param], request: Request) -> "Param | Answered":
        identity = params[0]
        name_in(identity)
        said = identity.decode() if isinstance(identity, EncodedMap) else identity
        headers = {"origin": request.headers.get(b"origin", b"").decode("latin-1")}
        return asyncio.ensure_future(self._register_by_consent(said, request, origin_of(headers)))

    async def _register_by_consent(self, identity: Value, request: Request, origin: str) -> Response:
        try:
            if not await self._ask(identity, (request.peer, request.ends.peer_port), origin):
                raise Fault("the user does not let this page in")
            told = self.enter(Principal(profile=self.NAME, host=request.peer, origin=origin))
        except Fault as fault:
            logger.info("a page of {} is not let in: {}", visible(origin) or "no origin", fault.text)
            return refuse(fault)
        assert isinstance(told, dict)
        key = told["samp.private-key"]
        return answer_with(told | {"samp.url-translator": f"http://localhost:{self._port}/translator/{key}?"})

    # ------------------------------------------------------------------ the translator

    def _translate(self, request: Request) -> Answered:
        """Read for a page what it may (SAMP 1.3, 5.2.6)."""
        path, _, asked = request.target.partition(b"?")
        try:
            self.client_of(path.removeprefix(_TRANSLATOR).decode("latin-1"))
        except Fault:
            return self.held.hold(_plain(403, "no page is registered with this key"), request.peer)
        if not asked:
            return _plain(404, "there is no URL behind the question mark")
        raw = asked.decode("latin-1")  # sampjs encodes nothing, others do
        url = next((each for each in (raw, unquote(raw)) if self.hub.may_read(each)), None)
        if url is None:
            return _plain(403, "no program has sent this URL to the pages of this hub")
        return self._read_for_page(url)

    def _read_for_page(self, url: str) -> Answered:
        if self._reader is None:
            self._reader = ThreadPoolExecutor(4, "hubfarm-translator")
        return asyncio.get_running_loop().run_in_executor(self._reader, _read, url)

    def close(self) -> None:
        """Read nothing more."""
        super().close()
        if self._reader is not None:
            self._reader.shutdown(wait=False, cancel_futures=True)


async def _with_fields(answer: "asyncio.Future[Response]", fields: bytes) -> Response:
    try:
        return (await answer)._replace(fields=fields)
    except asyncio.CancelledError:
        if answer.done() and not answer.cancelled() and (written := answer.result().written) is not None:
            written(False)  # it was there already, and nobody is there to take it
        raise


def _plain(status: int, text: str) -> Response:
    return Response(f"{text}\n".encode(), status, b"text/plain; charset=utf-8")


def _read(url: str) -> Response:
    """Return what a URL leads to; called in a thread."""
    try:
        return Response(*_content(url))
    except HubfarmError as error:
        return _plain(502, str(error))
    except (OSError, ValueError) as error:  # an HTTPError is an OSError
        return _plain(502, f"it cannot be read: {getattr(error, 'strerror', None) or error}")


def _content(url: str) -> tuple[bytes, int, bytes]:
    match urlsplit(url).scheme.lower():
        case "file":
            return _content_of_file(url), 200, b"application/octet-stream"
        case "http" | "https" | "ftp":
            from urllib.request import urlopen  # 3 MB, which a hub without pages has no need of

            with urlopen(url, timeout=READ_TIMEOUT) as answer:
                kind = str(answer.headers.get("Content-Type", "application/octet-stream"))
                return _at_most(answer.read(LONGEST_READ + 1)), 200, kind.encode("latin-1", "replace")
        case scheme:
            raise HubfarmError(f"nothing is read by {visible(scheme[:40])}")


def _content_of_file(url: str) -> bytes:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost", "127.0.0.1"):
        raise HubfarmError("the file is another host's")
    path = Path(unquote(parts.path))
    if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
        raise HubfarmError("it is no file")
    with path.open("rb") as file:
        return _at_most(file.read(LONGEST_READ + 1))


def _at_most(content: bytes) -> bytes:
    if len(content) > LONGEST_READ:
        raise HubfarmError(f"it is longer than {LONGEST_READ} bytes")
    return content
