"""The calls of the Standard Profile on a hub, over a few kept connections (SAMP 1.3, 4.3.1).

Nothing here knows which client calls: a private key is a parameter like others.  Every call has
an end: an answer, a fault, or `SAMPHubUnreachable` in `HubCalls.timeout` seconds.
"""

import asyncio
import math
import numbers
import ssl
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import ClassVar
from urllib.parse import unquote

from hubfarm.access.genuine import is_listened_at, objection, present
from hubfarm.client.credentials import Credentials
from hubfarm.client.errors import SAMPHubNotNamed, SAMPHubUnreachable, SAMPNotConnected, SAMPProxyError
from hubfarm.client.typed import noted, restored
from hubfarm.registry.entry import label_of
from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.lockfile import SECRET, TLS_FINGERPRINT, URL
from hubfarm.samp.methods import STANDARD_METHODS, STANDARD_PREFIX, Method
from hubfarm.samp.toolkit import SAMPHubError
from hubfarm.samp.values import Map, Value, write_boolean
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.wire.http_client import Distrusted, HttpClient, HttpError, NoAnswer, Unreachable
from hubfarm.wire.urls import check_http_url

TIMEOUT = 10.0
"""How long a hub may take to answer one call, seconds."""

COMES_BACK = 5.0
"""How long a hub that has just died is waited for, seconds: a worker is replaced at once, a guard put back in 3.5 s."""

POOL_SIZE = 20
"""Connections to a hub at most: as many synchronous calls can wait at once."""

LONGEST_WAIT = 24 * 3600.0
"""How long a synchronous call without a timeout waits, seconds: no wait is without an end."""

MARGIN = 5.0
"""How much later than the hub we give up a synchronous call, seconds: the hub's word comes first."""


LARGE = 256 * 2**10
"""A longer answer is read in a thread, bytes: the program's loop goes on meanwhile."""

LONGEST_PULLED = 80 * 2**20
"""Longest answer to a pull, bytes: one message that a hub takes, and what stands around it."""


def to_value(value: object) -> Value:
    """Return `value` as SAMP has it: numbers and truth become strings, tuples lists (SAMP 1.3, 3.4).

    What SAMP cannot carry stays, and is refused when it is encoded.

    Examples
    --------
    >>> to_value({"row": 7, "on": True, "at": (1.5, "x")})
    {'row': '7', 'on': '1', 'at': ['1.5', 'x']}
    """
    match value:
        case bool():
            return write_boolean(value)
        case numbers.Integral():
            return str(int(value))
        case numbers.Real():
            return repr(float(value))
        case Mapping():
            return {key: to_value(item) for key, item in value.items()}
        case list() | tuple():
            return [to_value(item) for item in value]
        case str():
            return str(value)
        case _:
            return value  # type: ignore[return-value]


def with_params(value: object) -> object:
    """Return a message with its parameters, an empty map if it has none (SAMP 1.3, 3.8); anything else as it is.

    Examples
    --------
    >>> with_params({"samp.mtype": "samp.app.ping"})
    {'samp.mtype': 'samp.app.ping', 'samp.params': {}}
    """
    if isinstance(value, Mapping) and "samp.mtype" in value and "samp.params" not in value:
        return {**value, "samp.params": {}}
    return value


def to_parameter(name: str, value: object) -> Value:
    """Return a parameter of a method as SAMP has it, by its name in `hubfarm.samp.methods`.

    Examples
    --------
    >>> to_parameter("message", {"samp.mtype": "table.highlight.row", "samp.params": {"row": 7}})
    {'samp.mtype': 'table.highlight.row', 'samp.params': {'row': '7'}}
    """
    match name:
        case "message":
            return to_value(noted(with_params(value)))
        case "response":
            return to_value(noted(value))
    return to_value(value)


def _apart(url: str) -> tuple[str, Credentials | None]:
    """Return a URL without the user and password that may stand in it, and these."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    named, at, host = authority.rpartition("@")
    if not at:
        return url, None
    user, colon, password = named.partition(":")
    return f"{scheme}{slashes}{host}{slash}{path}", Credentials(unquote(user), unquote(password) if colon else None)


class HubCalls:
    """A hub to call, one at a time.

    Parameters
    ----------
    pool_size : int
        Connections at most.
    timeout : float
        How long each call may take, seconds.
    credentials : Credentials, optional
        Who registers; by default nobody in particular.
    """

    PREFIX: ClassVar[str] = STANDARD_PREFIX
    METHODS: ClassVar[Mapping[str, Method]] = STANDARD_METHODS

    def __init__(
        self, *, pool_size: int = POOL_SIZE, timeout: float = TIMEOUT, credentials: Credentials | None = None
    ) -> None:
        self._credentials = credentials or Credentials()
        self.tokens: dict[str, str] = {}
        self.owner: int | None = None
        """Whose the lock file was by which the hub was found."""
        self.timeout = timeout
        self._pool_size = pool_size
        self._url = ""
        self._objection: Callable[[str], str] | None = None
        self._known_by: list[ssl.SSLContext] = []
        self._fingerprint = ""
        self._idle: list[HttpClient] = []
        self._clients: set[HttpClient] = set()
        self._puller: HttpClient | None = None

    async def open(self, tokens: Mapping[str, str], owner: int | None = None) -> None:
        """Connect to the hub that a lock file's content describes, leaving any other.

        Parameters
        ----------
        tokens : dict of str to str
            The lock file's content.
        owner : int, optional
            The account (its uid) whose the lock file is.

        Raises
        ------
        SAMPHubError
            No hub answers there, what listens there is not that hub, or a token is missing.
        """
        missing = [name for name in (URL, SECRET) if not tokens.get(name)]
        if missing:
            raise SAMPHubError(f"this describes no hub: {', '.join(missing)} is missing from the lock file's content")
        self.close()
        url, of_url = _apart(tokens[URL].replace("\\", ""))
        if of_url is not None and not self._credentials.user:
            self._credentials = replace(self._credentials, user=of_url.user, password=of_url.password)
        try:
            check_http_url(url)
        except WrongUse as error:
            raise SAMPHubNotNamed(f"this describes no hub: {error}") from None
        tokens = await self._present({**tokens, URL: url}, owner)
        self.owner = owner
        self._objection = partial(objection, tokens, owner)
        self._known_by = []
        if url.startswith("https:"):
            self._known_by = await asyncio.to_thread(self._credentials.contexts, tokens)
        self._fingerprint = tokens.get(TLS_FINGERPRINT, "")
        self._url = url
        self._slots = asyncio.Semaphore(self._pool_size)
        try:
            await self.call("ping")
        except BaseException:
            self.close()
            raise
        self.tokens = dict(tokens)

    async def _present(self, tokens: Mapping[str, str], owner: int | None) -> Mapping[str, str]:
        """Return what leads to a hub now; wait for a moment for one whose worker is being replaced.

        Raises
        ------
        SAMPHubUnreachable
            It has ended, or what listens there is another account's.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + min(self.timeout, COMES_BACK)
        found = present(tokens)
        while True:
            if foreign := objection(tokens, owner):
                raise SAMPHubUnreachable(foreign)
            if found is not None:
                return found
            if loop.time() >= until or not is_listened_at(tokens):
                name = label_of(tokens) or tokens[URL]
                raise SAMPHubUnreachable(f"the hub {name} has ended: hubfarm ls lists those that run")
            await asyncio.sleep(0.05)
            found = await asyncio.to_thread(present, tokens)

    @property
    def is_open(self) -> bool:
        """Whether a hub was found and not left since."""
        return bool(self.tokens)

    @property
    def local_host(self) -> str:
        """The address of this host that the hub sees: where it can call back."""
        return next((client.local_host for client in self._clients if client.connected), "127.0.0.1")

    @property
    def leads_afar(self) -> bool:
        """Whether the hub is on another host."""
        return any(client.leads_afar for client in self._clients if client.connected)

    @property
    def is_afar(self) -> bool:
        """Whether the hub is on another host, or speaks TLS: it is not to call back in the clear."""
        return bool(self._known_by) or self.leads_afar

    def close(self) -> None:
        """Leave the hub; calls under way end as `SAMPHubUnreachable`."""
        self.tokens = {}
        self._url = ""
        self._idle.clear()
        self._puller = None
        for client in self._clients:
            client.close()
        self._clients.clear()

    async def call(self, method: str, *params: object, timeout: float | None = None) -> Value:
        """Call ``samp.hub.<method>``, and return its result.

        Parameters
        ----------
        method : str
            As ``getMetadata``.
        params : object
            Its parameters; see `to_parameter`.
        timeout : float, optional
            How long it may take, seconds; by default as for all calls.

        Raises
        ------
        SAMPProxyError
            The hub answers with a fault.
        SAMPHubUnreachable
            The hub does not answer.
        SAMPNotConnected
            There is no hub.
        SAMPHubError
            What answers is none.
        BadValue
            A parameter is not a SAMP value.
        """
        if not self._url:
            raise SAMPNotConnected("not connected to a hub: connect first")
        named = zip(self.METHODS[method].takes, params, strict=True)
        body = encode_call(f"{self.PREFIX}{method}", [to_parameter(name, value) for name, value in named])
        seconds = self.timeout if timeout is None else timeout
        url, slots = self._url, self._slots
        try:
            async with asyncio.timeout(seconds):
                await slots.acquire()
        except TimeoutError:
            raise SAMPHubUnreachable(
                f"all {self._pool_size} connections to the hub at {url} wait for an answer: raise pool_size"
            ) from None
        client = self._take(url, seconds)
        try:
            shown = await self._credentials.authorization() if method == "register" else b""
            return await self._exchange(client, method, body, seconds, shown)
        finally:
            if client in self._clients:
                self._idle.append(client)
            slots.release()

    async def register(self, metadata: Map) -> Map:
        """Register a client that will declare these metadata; return what it is told.

        Raises
        ------
        SAMPProxyError
            The hub does not let it in.
        SAMPHubUnreachable, SAMPNotConnected, SAMPHubError
            As for `call`.
        """
        told = await self.call("register", self.tokens[SECRET])
        return told if isinstance(told, dict) else {}

    def _take(self, url: str, seconds: float) -> HttpClient:
        if self._idle:
            return self._idle.pop()
        client = HttpClient(
            url,
            connect_timeout=min(seconds, TIMEOUT),
            max_body=LONGEST_PULLED,
            objection=self._objection,
            tls=self._known_by,
        )
        self._clients.add(client)
        return client

    async def pass_on(self, body: bytes, fields: bytes, seconds: float) -> bytes:
        """Send a call that another has made, as it is, and return the answer as it came.

        Parameters
        ----------
        body : bytes
            The call.
        fields : bytes
            Header fields, each ended by CRLF.
        seconds : float
            How long the answer may take.

        Raises
        ------
        HttpError
            The hub does not answer; `Unreachable` if it has surely not seen the call.
        SAMPNotConnected
            There is no hub.
        """
        if not self._url:
            raise SAMPNotConnected("not connected to a hub: connect first")
        slots = self._slots
        async with slots:
            client = self._take(self._url, TIMEOUT)
            try:
                return await client.post(body, timeout=seconds, fields=fields)
            finally:
                if client in self._clients:
                    self._idle.append(client)

    async def pull(self, key: str, seconds: float) -> list[Value]:
        """Call ``samp.hub.pullCallbacks`` over a connection of its own, and return what it returns.

        Parameters
        ----------
        key : str
            The private key of who pulls.
        seconds : float
            How long the hub waits until it has something.

        Raises
        ------
        SAMPProxyError
            The hub does not know the key, or the client has not allowed reverse callbacks.
        SAMPHubUnreachable, SAMPNotConnected, SAMPHubError
            As for `call`.
        """
        if not self._url:
            raise SAMPNotConnected("not connected to a hub: connect first")
        if self._puller is None or self._puller.url != self._url:
            self._puller = HttpClient(
                self._url,
                connect_timeout=self.timeout,
                max_body=LONGEST_PULLED,
                objection=self._objection,
                tls=self._known_by,
            )
            self._clients.add(self._puller)
        body = encode_call(f"{self.PREFIX}pullCallbacks", [key, f"{math.ceil(seconds)}"])
        pulled = await self._exchange(self._puller, "pullCallbacks", body, seconds + max(MARGIN, self.timeout))
        return pulled if isinstance(pulled, list) else []

    async def call_and_wait(self, key: str, recipient: str, message: object, timeout: object) -> Map:
        """Call ``samp.hub.callAndWait``, and return the recipient's response.

        Parameters
        ----------
        key, recipient : str
            The caller's private key, the recipient's public id.
        message : map
            The message.
        timeout : float or str
            How long to wait for the response, seconds; 0 or less for `LONGEST_WAIT`.

        Raises
        ------
        SAMPProxyError
            The hub refuses the call, or the time has run out.
        """
        seconds = float(str(timeout))
        waiting = min(seconds, LONGEST_WAIT) if seconds > 0 else LONGEST_WAIT
        response = await self.call("callAndWait", key, recipient, message, math.ceil(seconds), timeout=waiting + MARGIN)
        return restored(response)  # type: ignore[arg-type]  # a hub's response is a map

    async def _exchange(
        self, client: HttpClient, method: str, body: bytes, seconds: float, shown: bytes = b""
    ) -> Value:
        """Send one call, and return the result in its answer."""
        try:
            answer = await client.post(body, timeout=seconds, authorization=shown)
            return decode_response(answer) if len(answer) <= LARGE else await asyncio.to_thread(decode_response, answer)
        except Distrusted as error:
            known = f"; the hub's lock file names {self._fingerprint} (SHA-256)" * bool(self._fingerprint)
            raise SAMPHubError(f"this is not the hub that is meant: {error}{known}") from None
        except (Unreachable, NoAnswer) as error:
            raise SAMPHubUnreachable(f"the hub at {client.url} does not answer {method}: {error}") from None
        except HttpError as error:
            raise SAMPHubError(f"no SAMP hub answers at {client.url}: it {error}") from None
        except Fault as fault:
            raise SAMPProxyError(fault.code, fault.text) from None
