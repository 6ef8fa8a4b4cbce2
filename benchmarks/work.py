"""What hubs are asked to do: one line of `WORK` a measurement."""

from dataclasses import dataclass

from benchmarks.clients import Client
from benchmarks.messages import SIZES, encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of work.

    Parameters
    ----------
    call : str
        Which of the hub's methods is called.
    size : str
        Which of `benchmarks.messages.SIZES` is sent.
    connections : int
        Requests under way at a time.
    receivers : int
        Clients subscribed to what is sent.
    replies : bool
        The one receiver answers calls.
    clients : int
        Registered clients, at least; those that are neither sender nor receiver do nothing.
    goal : float
        What to reach, as a ratio to JSAMP's; 0 for none.
    quick : bool
        It is among the works of ``--quick``.
    """

    call: str
    size: str = "small"
    connections: int = 4
    receivers: int = 0
    replies: bool = False
    clients: int = 0
    goal: float = 0.0
    quick: bool = False

    @property
    def deliveries_a_request(self) -> int:
        """How many callbacks one request leads to."""
        return {"notify": 1, "notifyAll": self.receivers, "call": 1}.get(self.call, 0)

    def body(self, sender: Client, receiver: Client | None) -> bytes:
        """Return the request that is sent over and over."""
        key, to, message = sender.key, receiver.id if receiver else "", SIZES[self.size]
        parameters: dict[str, tuple[object, ...]] = {
            "getRegisteredClients": (key,),
            "notify": (key, to, message),
            "notifyAll": (key, message),
            "call": (key, to, "tag", message),
            "callAndWait": (key, to, message, "20"),
        }
        return encode(self.call, *parameters[self.call])


def _notify(**more: object) -> Work:
    return Work(call="notify", receivers=1, **more)  # type: ignore[arg-type]


WORK: dict[str, Work] = {
    "ping, 1 connection": Work(call="ping", connections=1),
    "ping": Work(call="ping", goal=10, quick=True),
    "ping, 16 connections": Work(call="ping", connections=16),
    "ping, 64 connections": Work(call="ping", connections=64),
    "getRegisteredClients": Work(call="getRegisteredClients", clients=10),
    "register, unregister": Work(call="register"),
    "notify small, 1 connection": _notify(connections=1),
    "notify small": _notify(goal=8, quick=True),
    "notify small, 16 connections": _notify(connections=16),
    "notify small, 64 connections": _notify(connections=64),
    "notify medium": _notify(size="medium"),
    "notify large": _notify(size="large", goal=5, quick=True),
    "notifyAll to 1": Work(call="notifyAll", receivers=1),
    "notifyAll to 20": Work(call="notifyAll", receivers=20, goal=8, quick=True),
    "notifyAll to 200": Work(call="notifyAll", receivers=200),
    "call and response": Work(call="call", receivers=1, replies=True),
    "callAndWait, 1 connection": Work(call="callAndWait", connections=1, receivers=1, replies=True, goal=3, quick=True),
    "callAndWait": Work(call="callAndWait", receivers=1, replies=True),
    "notify small, 10 clients": _notify(clients=10, quick=True),
    "notify small, 100 clients": _notify(clients=100),
    "notify small, 2000 clients": _notify(clients=2000, quick=True),
}
"""By name; over 4 connections if the name does not say otherwise."""
