"""The Standard Profile: programs that know the lock file's secret, and listen at a URL of theirs (SAMP 1.3, 4)."""

import asyncio
import hmac
from collections.abc import Callable, Sequence

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.callback_rule import CallbackRule
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.frequent_lines import FrequentLines
from hubfarm.hub.profiles.large_requests import Files
from hubfarm.hub.profiles.profile import DONE, Answered, NotAdmitted, Profile, Strategy, refuse
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.routes import Push
from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.methods import STANDARD_METHODS, STANDARD_PREFIX
from hubfarm.samp.xmlrpc import Param
from hubfarm.spec.principal import Principal
from hubfarm.wire.http_messages import Response
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
    ) -> None:
        super().__init__(hub, deliveries, waits, clock=clock, files=files, lines=lines)
        self._secret = secret.encode()
        self._callbacks = callbacks

    def own_strategies(self) -> dict[str, Strategy]:
        """Return what is done for the methods that are this profile's alone."""
        return {"register": self._register, "setXmlrpcCallback": self._set_callback}

    def _register(self, params: Sequence[Param], peer: str) -> Param:
        """Register who knows the secret."""
        given = params[0].encode(errors="replace") if isinstance(params[0], str) else b""
        if not hmac.compare_digest(given, self._secret):
            raise NotAdmitted("the secret is wrong: it stands in the hub's lock file as samp.secret")
        return self.enter(Principal(profile=self.NAME, host=peer))

    def _set_callback(self, params: Sequence[Param], _: str) -> "Param | Answered":
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
