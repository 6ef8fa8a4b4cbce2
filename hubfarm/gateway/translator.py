"""The URL translator: what a page may read, read for it (SAMP 1.3, 5.2.6).

Its hub says what that is: a URL that a program has sent to it in a message, and never one that a page has made up.
What is read is sent so that no browser takes it for a page of ours.
"""

import asyncio
import contextlib
import email.utils
import ipaddress
import mimetypes
import os
import re
import socket
from collections.abc import Iterator, Mapping
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import aiohttp
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from loguru import logger
from yarl import URL

from hubfarm.gateway.door import READ
from hubfarm.gateway.forward import Forward
from hubfarm.gateway.pages import Pages
from hubfarm.gateway.plain_files import NoPlainFile, open_plain, path_in
from hubfarm.gateway.readers import DoesNotAnswer, Readers, TooMany
from hubfarm.samp.errors import Fault
from hubfarm.spec.origins import NO_BROWSER, origin_said
from hubfarm.visible import brief
from hubfarm.wire.cors import readable

CHUNK = 256 * 2**10
"""Bytes that are read at a time."""

LARGEST_FETCHED = 4 * 2**30
"""What is fetched by http at most, bytes."""

MOST_REDIRECTS = 5
MOST_AT_A_TIME = 64
"""Reads that are under way together."""

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
_HARMLESS = {
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


class NotPermitted(Exception):
    """The page may not read it; the text says why."""


class Translator:
    """Reads for pages.

    Parameters
    ----------
    forward : Forward
        Asks hubs.
    pages : Pages
        Who is of which origin.
    """

    def __init__(self, forward: Forward, pages: Pages) -> None:
        self._forward = forward
        self._pages = pages
        self._session: aiohttp.ClientSession | None = None
        self._under_way = asyncio.Semaphore(MOST_AT_A_TIME)
        self._readers = Readers()
        self._host = socket.gethostname()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Return what is behind a URL: 403 if the page may not read it, 404 if there is nothing."""
        if request.method not in ("GET", "HEAD"):
            return _refusal(request, 405, "only GET and HEAD are answered here")
        path, _, behind = request.raw_path.partition("?")
        key = unquote(path.removeprefix(READ))
        page = self._pages.of(key)
        if page is not None and origin_said(request.headers.get("Origin")) not in (page.origin, NO_BROWSER):
            return _refusal(request, 403, "this translator is of a page of another origin")
        if not behind:
            return _refusal(request, 404, "no URL")
        try:
            url = await self._permitted(key, behind)
        except Fault as fault:
            return _refusal(request, 403, fault.text)
        if not url:
            return _refusal(request, 403, "no program has sent this URL to the hub")
        async with self._under_way:
            try:
                if url[:5].lower() == "file:":
                    return await self._file(request, url, key)
                return await self._fetched(request, url, key)
            except TooMany as error:
                return _refusal(request, 503, str(error), Retry_After="5")
            except DoesNotAnswer as error:
                return _refusal(request, 504, str(error))
            except NotPermitted as error:
                return _refusal(request, 403, str(error))
            except NoPlainFile as error:
                return _refusal(request, 403, str(error))
            except FileNotFoundError:
                return _refusal(request, 404, "there is no such file")
            except OSError as error:
                return _refusal(request, 403, error.strerror or str(error))

    async def _permitted(self, key: str, behind: str) -> str:
        """Return the URL that a page asks for, if its hub permits it: as it was written, or decoded; else nothing.

        sampjs does not encode what stands behind the question mark, and others do.
        """
        for url in dict.fromkeys((behind, unquote(behind))):
            if await self._forward.may_read(key, url) == 200:
                return url
        return ""

    # ------------------------------------------------------------------ files

    async def _file(self, request: web.BaseRequest, url: str, key: str) -> web.StreamResponse:
        path = path_in(url, self._host)
        file, status = await self._readers.run(key, _opened, path)
        with file:
            begin, end = range_of(request.headers.get("Range"), status.st_size)
            if begin >= end and status.st_size:
                return _refusal(request, 416, "nothing is there", Content_Range=f"bytes */{status.st_size}")
            partial = "Range" in request.headers and (begin, end) != (0, status.st_size)
            kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
            response = web.StreamResponse(status=206 if partial else 200, headers=_headers(request, kind))
            response.headers["Accept-Ranges"] = "bytes"
            response.headers["Last-Modified"] = email.utils.formatdate(status.st_mtime, usegmt=True)
            if partial:
                response.headers["Content-Range"] = f"bytes {begin}-{end - 1}/{status.st_size}"
            response.content_length = end - begin
            await response.prepare(request)
            with _cut_short_by_failure(request):
                if request.method == "GET":
                    await self._copy(file, key, response, begin, end)
                await response.write_eof()
            return response

    async def _copy(self, file: BinaryIO, key: str, response: web.StreamResponse, begin: int, end: int) -> None:
        while begin < end:
            data = await self._readers.run(key, _read, file, min(CHUNK, end - begin), begin)
            if not data:  # it has become shorter
                return
            begin += len(data)
            await response.write(data)

    # ------------------------------------------------------------------ http

    async def _fetched(self, request: web.BaseRequest, url: str, key: str) -> web.StreamResponse:
        headers = {name: request.headers[name] for name in ("Range", "Accept") if name in request.headers}
        first = url
        for _ in range(MOST_REDIRECTS):
            try:
                asking = self._client.request(request.method, _checked(url), headers=headers, allow_redirects=False)
                async with asking as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        url = await self._redirected(first, url, answer.headers.get("Location", ""), key)
                        continue
                    return await _passed_on(request, answer)
            except aiohttp.InvalidURL:
                raise NotPermitted("not a URL that can be fetched") from None
            except (aiohttp.ClientError, TimeoutError) as error:
                logger.debug("{} could not be fetched: {!r}", brief(url, 200), error)
                return _refusal(request, 502, "it could not be fetched")
        return _refusal(request, 502, "it leads from one place to another")

    async def _redirected(self, first: str, url: str, location: str, key: str) -> str:
        """Return where a redirect leads: to the same host, or to what the hub permits too."""
        try:
            to = str(URL(url).join(URL(location)))
        except ValueError:
            raise NotPermitted("it leads nowhere") from None
        if _place(to) != _place(first) and await self._forward.may_read(key, to) != 200:
            raise NotPermitted("it leads to another host")
        return to

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=_Resolver(), limit=MOST_AT_A_TIME, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0, sock_read=60.0),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=["User-Agent"],
            )
        return self._session

    async def close(self) -> None:
        """End all connections, and all threads that do not hang."""
        self._readers.close()
        if self._session is not None:
            await self._session.close()


class _Resolver(AbstractResolver):
    """Resolves names; one that is not this host's own may not lead to it, whatever its owner says of it today."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()
        self._own = {"localhost", socket.gethostname().lower()}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if host.lower().rstrip(".") in self._own:
            return found
        usable = [each for each in found if not _is_of_this_host(each["host"])]
        if not usable:
            raise OSError(None, f"{host} leads to this host")
        return usable

    async def close(self) -> None:
        await self._resolver.close()


def _is_of_this_host(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified


def _opened(path: str) -> tuple[BinaryIO, os.stat_result]:
    """Return a file that closes itself, as who asked for it may have gone meanwhile; and its status."""
    file = os.fdopen(open_plain(path), "rb", buffering=0)
    return file, os.fstat(file.fileno())


def _read(file: BinaryIO, size: int, begin: int) -> bytes:
    return os.pread(file.fileno(), size, begin)  # which is refused if the file was closed meanwhile


def range_of(header: str | None, size: int) -> tuple[int, int]:
    """Return the part of a file that is asked for, from a byte to before another; all of it if that is not clear.

    Examples
    --------
    >>> range_of("bytes=2-5", 10), range_of("bytes=-3", 10), range_of("bytes=8-", 10), range_of(None, 10)
    ((2, 6), (7, 10), (8, 10), (0, 10))
    >>> range_of("bytes=20-30", 10), range_of("bytes=5-2", 10)
    ((20, 10), (0, 10))
    """
    found = _RANGE.fullmatch(header.strip()[:60]) if header else None
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:
        return max(0, size - int(found[2])), size
    begin, end = int(found[1]), min(int(found[2]) + 1 if found[2] else size, size)
    return (0, size) if found[2] and int(found[2]) < begin else (begin, end)


async def _passed_on(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    length = answer.content_length
    if length is not None and length > LARGEST_FETCHED:
        raise NotPermitted("it is too long")
    kind = answer.headers.get("Content-Type", "application/octet-stream")
    response = web.StreamResponse(status=answer.status, headers=_headers(request, kind))
    for name in ("Content-Range", "Last-Modified", "Accept-Ranges", "Content-Encoding"):
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    if length is not None:
        response.content_length = length
    await response.prepare(request)
    passed = 0
    with _cut_short_by_failure(request):
        if request.method == "GET":
            async for data in answer.content.iter_chunked(CHUNK):
                passed += len(data)
                if passed > LARGEST_FETCHED:
                    raise TooMany("it is too long")
                await response.write(data)
        await response.write_eof()
    return response


@contextlib.contextmanager
def _cut_short_by_failure(request: web.BaseRequest) -> Iterator[None]:
    """Hang up if an answer that has begun cannot be finished: nothing else would tell its page so."""
    try:
        yield
    except (OSError, aiohttp.ClientError, TimeoutError, DoesNotAnswer, TooMany) as error:
        logger.debug("what a page reads is cut short: {!r}", error)
        if request.transport is not None:
            request.transport.abort()


def _checked(url: str) -> URL:
    """Return a URL as it is fetched.

    Raises
    ------
    NotPermitted
        Not by http, or with somebody's password in it.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
        parsed = URL(url)
    except ValueError:
        usable = False
    if not usable:
        raise NotPermitted("only files of this host and what http and https lead to are read")
    return parsed


def _place(url: str) -> tuple[str, int | None]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port


def _headers(request: web.BaseRequest, kind: str) -> dict[str, str]:
    return {"Content-Type": kind, **_HARMLESS, **_exposed(request)}


def _exposed(request: web.BaseRequest) -> Mapping[str, str]:
    told = dict(readable(request.headers))
    return {**told, "Access-Control-Expose-Headers": "Content-Length, Content-Range, Accept-Ranges"} if told else told


def _refusal(request: web.BaseRequest, status: int, text: str, **more: str) -> web.Response:
    headers = {**_HARMLESS, **_exposed(request), **{name.replace("_", "-"): value for name, value in more.items()}}
    return web.Response(status=status, text=f"{text}\n", headers=headers)
