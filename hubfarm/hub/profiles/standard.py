"""The Standard Profile: programs that know the lock file's secret, and listen at a URL of theirs (SAMP 1.3, 4).

Who shows the secret is nobody in particular; who shows a password beside it, by HTTP Basic, is that user; who shows a
ticket in its stead is the ticket's.  Where accounts of this host may enter, the kernel's word will do, and where those
of a CA's certificates may, the certificate's.  Whether what was shown is enough is for the hub's policy to say.
"""

import asyncio
import contextlib
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Sequence

from msgspec.structs import replace

from hubfarm.access.host_accounts import Account
from hubfarm.hub.delivery.callback_rule import CallbackRule
from hubfarm.hub.model import Client
from hubfarm.hub.profiles.passwords import Credentials, PasswordChecks, TooMany, credentials_in
from hubfarm.hub.profiles.profile import DONE, Answered, Inside, NotAdmitted, Profile, Strategy, answer_with, refuse
from hubfarm.hub.routes import Push
from hubfarm.registry.tickets import Ticket
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.methods import STANDARD_METHODS, STANDARD_PREFIX
from hubfarm.samp.xmlrpc import Param, encode_fault
from hubfarm.spec.checks import check_user
from hubfarm.spec.principal import Principal
from hubfarm.visible import visible
from hubfarm.wire.host_sockets import listener_at
from hubfarm.wire.http_messages import Ends, Request, Response
from hubfarm.wire.urls import check_http_url, place_of

REFUSED_FOR = 1.0
"""How long the answer waits that too many passwords are being checked, seconds: to ask again at once is no use."""

_WRONG_SECRET = "the secret is wrong: it stands in the hub's lock file as samp.secret"


class StandardProfile(Profile):
    """The Standard Profile of one hub.

    Parameters
    ----------
    inside : Inside
        What it leads to; the hub's secret admits a client to ``register``.
    callbacks : CallbackRule, optional
        Where clients may be called back; without one, anywhere.
    passwords : PasswordChecks, optional
        Checks those that newcomers show; without it none is right.
    ticket_of : callable
        Returns the ticket whose secret somebody has shown, None if it is none that counts here.
    revision : callable
        Returns the revision of the users file that is in force; see `Principal`.
    identity : callable
        Returns the groups of a user whom a certificate names, and whether it is an administrator.
    """

    NAME = "standard"
    PREFIX = STANDARD_PREFIX
    METHODS = STANDARD_METHODS

    def __init__(
        self,
        inside: Inside,
        *,
        callbacks: CallbackRule | None = None,
        passwords: PasswordChecks | None = None,
        ticket_of: Callable[[str], Ticket | None] = lambda secret: None,
        revision: Callable[[], int] = lambda: 0,
        identity: Callable[[str], tuple[tuple[str, ...], bool]] = lambda user: ((), False),
    ) -> None:
        super().__init__(inside)
        self._secret = inside.secret.encode()
        self._callbacks = callbacks
        self._passwords = passwords
        self._ticket_of = ticket_of
        self._revision = revision
        self._identity = identity

    def own_strategies(self) -> dict[str, Strategy]:
        """Return what is done for the methods that are this profile's alone."""
        return {"register": self._register, "setXmlrpcCallback": self._set_callback}

    def _register(self, params: Sequence[Param], request: Request) -> "Param | Answered":
        """Register who knows the secret, shows a ticket, or is of an account that may enter."""
        given = params[0] if isinstance(params[0], str) else ""
        knows_secret = hmac.compare_digest(given.encode(errors="replace"), self._secret)
        uid = self.uid_of(request)
        who = Principal(profile=self.NAME, host=request.peer, uid=uid)
        if knows_secret:
            shown = credentials_in(request.headers.get(b"authorization"))
            if shown is not None:
                return asyncio.ensure_future(self._enter_by_password(shown, who, request.ends))
        elif holder := self.ticket_holder(given, who):
            return self.enter(holder)
        if request.ends.certified and (knows_secret or self.hub.refusal_to_enter(who)):
            return self.enter(self.certificate_holder(request.ends.certified, who))
        if uid is not None and self.accounts is not None:
            return asyncio.ensure_future(self._enter_by_account(self.accounts.account(uid), knows_secret, who))
        if not knows_secret:
            raise NotAdmitted(_WRONG_SECRET)
        return self.enter(who)

    def ticket_holder(self, secret: str, who: Principal) -> Principal | None:
        """Return who shows a ticket by its secret, None if it is none that counts here."""
        ticket = self._ticket_of(secret)
        if ticket is None:
            return None
        return replace(
            who,
            user=ticket.user,
            groups=ticket.groups,
            admin=ticket.admin,
            ticket=ticket.id,
            revision=ticket.revision,
        )

    def certificate_holder(self, user: str, who: Principal) -> Principal:
        """Return who shows a certificate that names a user.

        Raises
        ------
        Fault
            No user can be called so.
        """
        try:
            check_user(user)
        except WrongUse as error:
            raise Fault(f"the certificate names nobody: {error}") from None
        groups, admin = self._identity(user)
        return replace(who, user=user, groups=groups, admin=admin, revision=self._revision())

    async def _enter_by_account(self, asked: Awaitable[Account], knows_secret: bool, who: Principal) -> Response:
        account = await asked
        who = replace(who, account=account.name, account_groups=account.groups)
        if not knows_secret and self.hub.refusal_to_enter(who):
            what = f"a wrong secret, from the account {account.name}"
            return await self._held(_WRONG_SECRET, who, what)
        try:
            return answer_with(self.enter(who))
        except Fault as fault:
            return refuse(fault)

    async def _held(self, fault: str, who: Principal, what: str) -> Response:
        answer = self.held.hold(Response(encode_fault(Fault(fault))), who.host, what)
        return await answer if isinstance(answer, asyncio.Future) else answer

    async def password_holder(self, shown: Credentials, who: Principal, ends: Ends) -> Principal | None:
        """Return who shows a password, None if user or password is wrong.

        Raises
        ------
        TooMany
            Too many are being checked, or too many were wrong.
        Fault
            It cannot be checked now.
        """
        revision = self._revision()  # a user who is disconnected meanwhile is thrown out
        try:
            found = await self._passwords.check(shown, ends) if self._passwords is not None else None
        except Fault:
            raise
        except HubfarmError as error:
            self.lines.log_once("ERROR", "passwords cannot be checked: {}", str(error))
            raise Fault("passwords cannot be checked now; the hub's log says why") from None
        if found is None:
            return None
        return replace(who, user=found.user, groups=found.groups, admin=found.admin, revision=revision)

    async def _enter_by_password(self, shown: Credentials, who: Principal, ends: Ends) -> Response:
        try:
            holder = await self.password_holder(shown, who, ends)
            if holder is not None:
                return answer_with(self.enter(holder))
        except TooMany as fault:
            answer = self.held.hold_for(refuse(fault), REFUSED_FOR)
            return await answer if isinstance(answer, asyncio.Future) else answer
        except Fault as fault:
            return refuse(fault)
        what = f"a wrong password of the user {visible(shown.user[:100])!r}"
        return await self._held("the user or the password is wrong", who, what)

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
        client = self.client_of(key)
        self._check_port(client, url)
        outcome = self.hub.set_route(client, Push(url, listener_at(url)) if url else None, self.clock())
        self.deliveries.carry_out(outcome.effects)
        return outcome.result

    def _check_port(self, client: Client, url: str) -> None:
        """Refuse a callback URL whose port is another account's; of a name, that is seen when it is called."""
        uid = client.principal.uid
        if uid is None or self.accounts is None or not url:
            return
        host, port = place_of(url)
        if _is_address(host) and not self.accounts.listens(uid, host, port):
            raise Fault(f"nobody of your account listens at the port {port} of {host}: listen first, then say where")


def _is_address(host: str) -> bool:
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return host == "localhost"
