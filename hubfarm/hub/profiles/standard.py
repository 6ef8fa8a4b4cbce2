"""The Standard Profile: programs that know the lock file's secret, and listen at a URL of theirs (SAMP 1.3, 4).

Who shows the secret is nobody in particular; who shows a password beside it, by HTTP Basic, is that user; who shows a
ticket in its stead is the ticket's.  Whether that is enough is for the hub's policy to say.
"""

import asyncio
import hmac
from collections.abc import Callable, Sequence

from loguru import logger

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.callback_rule import CallbackRule
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.profiles.large_requests import Files
from hubfarm.hub.profiles.passwords import Credentials, PasswordChecks, credentials_in
from hubfarm.hub.profiles.profile import DONE, Answered, NotAdmitted, Profile, Strategy, answer_with, refuse
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.routes import Push
from hubfarm.registry.tickets import Ticket
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import STANDARD_METHODS, STANDARD_PREFIX
from hubfarm.samp.xmlrpc import Param, encode_fault
from hubfarm.spec.principal import Principal
from hubfarm.visible import visible
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.urls import check_http_url


class StandardProfile(Profile):
    """The Standard Profile of one hub.

    Parameters
    ----------
    hub, deliveries, waits, clock, files, lines
        As for every `Profile`.
    secret : str
        Admits a client to ``register``.
    callbacks : CallbackRule, optional
        Where clients may be called back; without one, anywhere.
    passwords : PasswordChecks, optional
        Checks those that newcomers show; without it none is right.
    ticket_of : callable
        Returns the ticket whose secret somebody has shown, None if it is none that counts here.
    revision : callable
        Returns the revision of the users file that is in force; see `Principal`.
    """

    NAME = "standard"
    PREFIX = STANDARD_PREFIX
    METHODS = STANDARD_METHODS

    def __init__(
        self,
        hub: Hub,
        deliveries: Deliveries,
        waits: Waits,
        *,
        secret: str,
        clock: Callable[[], float],
        callbacks: CallbackRule | None = None,
        files: Files | None = None,
        lines: FrequentLines | None = None,
        passwords: PasswordChecks | None = None,
        ticket_of: Callable[[str], Ticket | None] = lambda secret: None,
        revision: Callable[[], int] = lambda: 0,
    ) -> None:
        super().__init__(hub, deliveries, waits, clock=clock, files=files, lines=lines)
        self._secret = secret.encode()
        self._callbacks = callbacks
        self._passwords = passwords
        self._ticket_of = ticket_of
        self._revision = revision

    def own_strategies(self) -> dict[str, Strategy]:
        """Return what is done for the methods that are this profile's alone."""
        return {"register": self._register, "setXmlrpcCallback": self._set_callback}

    def _register(self, params: Sequence[Param], request: Request) -> "Param | Answered":
        """Register who knows the secret, or shows a ticket."""
        given = params[0] if isinstance(params[0], str) else ""
        if not hmac.compare_digest(given.encode(errors="replace"), self._secret):
            ticket = self._ticket_of(given)
            if ticket is None:
                raise NotAdmitted("the secret is wrong: it stands in the hub's lock file as samp.secret")
            return self.enter(self._holder_of(ticket, request))
        shown = credentials_in(request.headers.get(b"authorization"))
        if shown is None:
            return self.enter(Principal(profile=self.NAME, host=request.peer))
        return asyncio.ensure_future(self._enter_by_password(shown, request))

    def _holder_of(self, ticket: Ticket, request: Request) -> Principal:
        return Principal(
            profile=self.NAME,
            user=ticket.user,
            groups=ticket.groups,
            admin=ticket.admin,
            ticket=ticket.id,
            revision=self._revision(),
            host=request.peer,
        )

    async def _enter_by_password(self, shown: Credentials, request: Request) -> Response:
        revision = self._revision()  # a user who is disconnected meanwhile is thrown out
        try:
            found = await self._passwords.check(shown) if self._passwords is not None else None
            if found is not None:
                who = Principal(
                    profile=self.NAME,
                    user=found.user,
                    groups=found.groups,
                    admin=found.admin,
                    revision=revision,
                    host=request.peer,
                )
                return answer_with(self.enter(who))
        except Fault as fault:
            return refuse(fault)
        except HubfarmError as error:
            logger.error("passwords cannot be checked: {}", error)
            return refuse(Fault("passwords cannot be checked now; the hub's log says why"))
        wrong = encode_fault(Fault("the user or the password is wrong"))
        answer = self.held.hold(
            Response(wrong), request.peer, f"a wrong password of the user {visible(shown.user[:100])!r}"
        )
        return await answer if isinstance(answer, asyncio.Future) else answer

    def close(self) -> None:
        """Read no more large requests, and check no more passwords."""
        super().close()
        if self._passwords is not None:
            self._passwords.close()

    def _set_callback(self, params: Sequence[Param], _: Request) -> "Param | Answered":
        """Take the URL at which a client listens; the name service may have to be asked about it."""
        key, url = str(params[0]), str(params[1])
        self.client_of(key)
        if url:
            check_http_url(url)
            if self._callbacks is not None and self._callbacks.needs_resolving(url):
                return asyncio.ensure_future(self._resolve_and_set(self._callbacks, key, url))
        return self._set_route(key, url)

    async def _resolve_and_set(self, callbacks: CallbackRule, key: str, url: str) -> Response:
        try:
            await callbacks.resolve(url)
            self._set_route(key, url)  # the client may have left meanwhile
        except (Fault, WrongUse) as error:
            return refuse(error)
        return DONE

    def _set_route(self, key: str, url: str) -> Param:
        outcome = self.hub.set_route(self.client_of(key), Push(url) if url else None, self.clock())
        self.deliveries.carry_out(outcome.effects)
        return outcome.result
