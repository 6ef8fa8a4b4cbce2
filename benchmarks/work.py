"""What hubs are asked to do: one line of `WORK` a measurement."""

from dataclasses import dataclass

from benchmarks.clients import Client
from benchmarks.messages import MESSAGES, encode, encode_message


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One kind of work.

    Parameters
    ----------
    call : str
        Which of the hub's methods is called.
    message : str
        Which of `benchmarks.messages` is sent.
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
    message: str = "small"
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

    def body(self, sender: Client, receiver: Client | None, message: str) -> bytes:
        """Return the request that is sent over and over, with that message."""
        key, to = sender.key, receiver.id if receiver else ""
        if self.call == "getRegisteredClients":
            return encode(self.call, key)
        before: dict[str, tuple[object, ...]] = {"notifyAll": (key,), "call": (key, to, "tag")}
        after = ("20",) if self.call == "callAndWait" else ()
        return encode_message(message, self.call, *before.get(self.call, (key, to)), after=after)


def _notify(**more: object) -> Work:
    return Work(call="notify", receivers=1, **more)  # type: ignore[arg-type]


WORK: dict[str, Work] = {
    "ping, 1 connection": Work(call="ping", connections=1),
    "ping": Work(call="ping", goal=10, quick=True),
    "ping, 16 connections": Work(call="ping", connections=16),
    "ping, 64 connections": Work(call="ping", connections=64),
    "getRegisteredClients, 20 clients": Work(call="getRegisteredClients", clients=20, goal=8, quick=True),
    "getRegisteredClients, 500 clients": Work(call="getRegisteredClients", clients=500, goal=8),
    "register, unregister": Work(call="register", goal=6, quick=True),
    "notify small, 1 connection": _notify(connections=1),
    "notify small": _notify(goal=8, quick=True),
    "notify small, 16 connections": _notify(connections=16),
    "notify small, 64 connections": _notify(connections=64),
    **{
        f"notify small, {dress}": _notify(message=dress, goal=8, quick=True)
        for dress in ("Unicode", "references", "typed", "markup")
    },
    "notify medium": _notify(message="medium", goal=8),
    **{f"notify {name}": _notify(message=name, goal=8) for name in MESSAGES if "depth" in name},
    "notify 1 MB, one string": _notify(message="1 MB, one string", goal=5),
    "notify large": _notify(message="large", goal=6, quick=True),
    "notify 4 MB, 10,000 maps": _notify(message="4 MB, 10,000 maps", goal=6),
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
