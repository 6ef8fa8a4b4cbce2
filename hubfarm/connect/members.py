"""The programs of this host that are clients of a hub elsewhere: what it has for them is fetched, and they are called.

What was fetched counts as arrived once the program has taken it; the hub is told so with the next pull, and hands out
again whatever it is not told of.  So a line may be cut, and either end killed, at any moment.
"""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Callable

from loguru import logger

from hubfarm.client.puller import PULL, callback_of
from hubfarm.connect.carried import CarriedFiles, read
from hubfarm.connect.line import Line, LineDown
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import CLIENT_PREFIX, STANDARD_PREFIX
from hubfarm.samp.values import Map, Value
from hubfarm.samp.xmlrpc import decode_response, encode_call
from hubfarm.wire.carried_pulls import ARRIVED
from hubfarm.wire.carried_pulls import PULL as PULL_FIELD
from hubfarm.wire.host_sockets import HostSockets
from hubfarm.wire.http_client import HttpClient, HttpError, Unreachable
from hubfarm.wire.http_messages import encode_fields
from hubfarm.wire.urls import place_of

LOOK_EVERY = 3.0
"""Between two looks whether programs are still there, seconds."""

MOST_ABSENCES = 3
"""Looks in a row at which nobody listened: a server may be set up anew."""

AGAIN_AFTER = (0.1, 0.3, 1.0, 2.0)
"""Waits before a program is called again that has refused the connection, seconds; then it is gone."""

ANSWERS_IN = 600.0
"""How long a program may take to take one call, seconds: at a breakpoint, say."""

HURRIED_AFTER = 0.001
"""Who has not answered after this time may wait for the kernel's word that the half of its answer is here, seconds."""

FAREWELL_IN = 2.0
"""How long it may take to hear that all is over, seconds."""


class Member:
    """One such program.

    Parameters
    ----------
    key : str
        Its private key.
    url : str
        Where it listens; empty for nowhere.
    members : Members
        All of them.
    """

    def __init__(self, key: str, url: str, members: "Members") -> None:
        self.key = key
        self.url = ""
        self.absences = 0
        self._members = members
        self._http: HttpClient | None = None
        self._task: asyncio.Task[None] | None = None
        self.listen_at(url)

    def listen_at(self, url: str) -> None:
        """Call it at a URL from now on; empty for no more."""
        self.stop()
        self.url = url
        if url:
            self._http = HttpClient(url)
            self._task = asyncio.get_running_loop().create_task(self._go_on())

    def stop(self) -> None:
        """Fetch nothing more for it."""
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()
        self._task = None
        if self._http is not None:
            self._http.close()
            self._http = None

    async def _go_on(self) -> None:
        mark, arrived = secrets.token_hex(4), ""
        for number in itertools.count():
            name = f"{mark}.{number}"
            fields = {PULL_FIELD: name} | ({ARRIVED: arrived} if arrived else {})
            while (pulled := await self._pull(fields)) is None:
                pass
            arrived = ""
            for each in pulled:
                await self._hand_on(each)
            if pulled:
                arrived = name

    async def _pull(self, fields: dict[str, str]) -> list[Value] | None:
        """Return what the hub has for it; None if the line was lost meanwhile."""
        line = self._members.line
        await line.up.wait()
        body = encode_call(f"{STANDARD_PREFIX}pullCallbacks", [self.key, f"{PULL:g}"])
        try:
            answer = await line.call(body, encode_fields(fields.items()), PULL + 10.0)
            pulled = await read(decode_response, answer)
        except LineDown as error:
            logger.debug("a pull has failed: {}", error)
            await asyncio.sleep(AGAIN_AFTER[0])
            return None
        except Fault as fault:
            await self._members.is_out(self, fault.text)
            raise asyncio.CancelledError from None
        return pulled if isinstance(pulled, list) else []

    async def _hand_on(self, pulled: Value) -> None:
        try:
            callback = callback_of(self._members.files.inward(pulled), self.key)
        except (Fault, WrongUse) as error:
            logger.warning("the hub had something that is not understood: {}", error)
            return
        before = [self.key, callback.sender, *([callback.tag] if callback.tag is not None else [])]
        await self._call(encode_call(f"{CLIENT_PREFIX}{callback.kind.value}", [*before, callback.content]))
        self._members.handed_on += 1

    async def _call(self, body: bytes) -> None:
        """Call it; who refuses the connection again and again is gone."""
        for pause in (*AGAIN_AFTER, None):
            assert self._http is not None
            hurrying = asyncio.get_running_loop().call_later(HURRIED_AFTER, self._http.hurry)
            try:
                await self._http.post(body, timeout=ANSWERS_IN)
            except Unreachable as error:
                if pause is None:
                    await self._members.has_gone(self, str(error))
                    raise asyncio.CancelledError from None
                await asyncio.sleep(pause)
            except HttpError as error:
                logger.warning("{} has not taken what was for it: it {}", self.url, error)
                return
            else:
                return
            finally:
                hurrying.cancel()

    async def say_farewell(self, mtype: str, params: Map) -> None:
        """Tell it something in the hub's name that the hub cannot tell it."""
        if self._http is not None:
            body = encode_call(
                f"{CLIENT_PREFIX}receiveNotification",
                [self.key, "hub", {"samp.mtype": mtype, "samp.params": params}],
            )
            with contextlib.suppress(HubfarmError):
                await HttpClient(self.url).post(body, timeout=FAREWELL_IN)


class Members:
    """All of them.

    Parameters
    ----------
    line : Line
        Where the hub is.
    files : CarriedFiles
        What messages name.
    changed : callable
        Told when somebody has come or gone, or listens elsewhere: before anybody is answered.
    """

    def __init__(self, line: Line, files: CarriedFiles, changed: Callable[[], None]) -> None:
        self.line = line
        self.files = files
        self.handed_on = 0
        """What programs have taken."""
        self._changed = changed
        self._members: dict[str, Member] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._sockets = HostSockets()
        self._looking: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    def kept(self) -> dict[str, str]:
        """Return who is in, and where each listens."""
        return {key: member.url for key, member in self._members.items()}

    def go_on_with(self, kept: dict[str, str]) -> None:
        """Take on those whom an earlier process has let in, and look after all from now on."""
        for key, url in kept.items():
            self._members[key] = Member(key, url, self)
        self._looking = asyncio.get_running_loop().create_task(self._look())

    def add(self, key: str) -> None:
        """Note that a program is in."""
        self._members[key] = Member(key, "", self)
        self._changed()

    def listens_at(self, key: str, url: str) -> None:
        """Note where a program listens."""
        if key in self._members:
            self._members[key].listen_at(url)
            self._changed()

    def leave(self, key: str) -> "asyncio.Task[None] | None":
        """Let a program leave; the hub hears of it as soon as it is reached, and what is returned is done then."""
        member = self._members.pop(key, None)
        if member is None:
            return None
        member.stop()
        self._changed()
        self._leaving[key] = task = asyncio.get_running_loop().create_task(self._tell_that_it_left(key))
        task.add_done_callback(lambda _: self._leaving.pop(key, None))
        return task

    async def _tell_that_it_left(self, key: str) -> None:
        while True:
            await self.line.up.wait()
            try:
                await self.line.call(encode_call(f"{STANDARD_PREFIX}unregister", [key]))
            except LineDown:
                await asyncio.sleep(AGAIN_AFTER[0])
            else:
                return

    async def is_out(self, member: Member, why: str) -> None:
        """Note that the hub knows a program no more, and tell it."""
        logger.warning("{}: the hub knows it no more: {}", member.url, why)
        if self._members.pop(member.key, None) is not None:
            self._changed()
            await member.say_farewell("samp.hub.disconnect", {"reason": f"the hub knows you no more: {why}"})
            member.stop()

    async def has_gone(self, member: Member, why: str) -> None:
        """Note that a program is gone."""
        logger.info("{}: it has gone: {}", member.url, why)
        self.leave(member.key)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for member in list(self._members.values()):
                absent = bool(member.url) and self._sockets.listens(*place_of(member.url)) is False
                member.absences = member.absences + 1 if absent else 0
                if member.absences >= MOST_ABSENCES:
                    await self.has_gone(member, "nobody listens at its callback URL")

    async def close(self, *, for_good: bool) -> None:
        """Fetch nothing more; if it is for good, tell all that the hub is no more, and let them leave it."""
        if self._looking is not None:
            self._looking.cancel()
        members = list(self._members.values())
        if for_good:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL_IN):
                    await asyncio.gather(*(each.say_farewell("samp.hub.event.shutdown", {}) for each in members))
                    for member in members:
                        self.leave(member.key)
                    if self.line.up.is_set():
                        await asyncio.gather(*self._leaving.values())
        for member in members:
            member.stop()
        for task in self._leaving.values():
            task.cancel()
        self._sockets.close()
