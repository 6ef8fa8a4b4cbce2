"""The clients on a hub that is measured, registered by the standard library's XML-RPC."""

from dataclasses import dataclass
from typing import Any
from xmlrpc.client import ServerProxy

from benchmarks.hubs import RunningHub
from benchmarks.messages import MTYPE


@dataclass(frozen=True, slots=True)
class Client:
    """One registered client: its private key and public id."""

    key: str
    id: str


class Clients:
    """Registers clients on one hub.

    Parameters
    ----------
    hub : RunningHub
        The hub.
    callback_url : str
        Where callable clients get their messages; each has a path of its own below it.
    """

    def __init__(self, hub: RunningHub, callback_url: str) -> None:
        self._samp = ServerProxy(hub.url).samp.hub
        self._secret = hub.secret
        self._callback_url = callback_url

    def sender(self) -> Client:
        """Register a client that sends, and takes the responses to its calls."""
        client = self._register("sender")
        self._samp.setXmlrpcCallback(client.key, f"{self._callback_url}{client.id}")
        return client

    def receiver(self, callback_url: str = "") -> Client:
        """Register a client that is subscribed to what is sent."""
        client = self._register("receiver")
        self._samp.setXmlrpcCallback(client.key, callback_url or f"{self._callback_url}{client.id}")
        self._samp.declareSubscriptions(client.key, {MTYPE: {}})
        return client

    def bystanders(self, count: int) -> None:
        """Register clients that are not subscribed to anything."""
        for _ in range(count):
            self._register("bystander")

    def _register(self, name: str) -> Client:
        answer: Any = self._samp.register(self._secret)
        client = Client(answer["samp.private-key"], answer["samp.self-id"])
        self._samp.declareMetadata(client.key, {"samp.name": name})
        return client
