"""The answers to pulls, carried on to pages: which have arrived, and what hubs are told of it.

A hub hands out again what it is not told of, so that nothing is lost with a gateway that is killed with an answer in
its hand.  That one has arrived goes with the page's next request to its hub, which comes at once as a rule; if none
does, it is told by itself.  That one is lost, as the browser has hung up, is told at once.  Names of pulls are used
anew once their hub has been told of them: requests that look alike cost a hub less.
"""

import asyncio
import itertools
import secrets
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from hubfarm.wire.carried_pulls import ARRIVED, PULL, CarriedPull, as_list

SOON = 0.5
"""How long the next request of a page is waited for until its hub is told without one, seconds."""

LAST_WORDS = 2.0
"""How long hubs are told as the gateway ends, seconds."""

Tell = Callable[[str, Iterable[str], Iterable[str]], Awaitable[None]]
"""Tells the hub of a private key which answers have arrived, and which are lost; raises nothing."""


@dataclass(slots=True)
class _Names:
    """The pulls of one page, by name."""

    carried: dict[str, None] = field(default_factory=dict)
    """Their answers are awaited from the hub, or written to the browser."""
    arrived: list[str] = field(default_factory=list)
    """Their hub is to be told."""
    being_told: dict[str, int] = field(default_factory=dict)
    """How many requests that tell of each are under way."""

    def __bool__(self) -> bool:
        return bool(self.carried or self.arrived or self.being_told)


class Carrier:
    """What one gateway carries.

    Parameters
    ----------
    tell : callable
        Tells a hub, where no request of the page's does.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._mark = secrets.token_hex(4)
        self._pages: dict[str, _Names] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._under_way: set[asyncio.Task[None]] = set()

    def request(self, key: str, *, is_pull: bool) -> "Told":
        """Return what is to be told with a request of a page's, which goes to its hub now."""
        names = self._pages.get(key)
        if names is None:
            if not is_pull:
                return Told(self, key)
            names = self._pages[key] = _Names()
        arrived = self._take(names)
        fields = {ARRIVED: as_list(arrived)} if arrived else {}
        pull = ""
        if is_pull:
            pull = self._free_name(names)
            # Another request may tell of those that have arrived, and come to the hub later than this one.
            known = {*names.carried, *names.being_told}.difference(arrived)
            fields[PULL] = CarriedPull(pull, frozenset(known)).as_field()
            names.carried[pull] = None
        return Told(self, key, arrived, pull, fields)

    def _free_name(self, names: _Names) -> str:
        used = {*names.carried, *names.arrived, *names.being_told}
        return next(name for number in itertools.count() if (name := f"{self._mark}.{number}") not in used)

    def _take(self, names: _Names) -> list[str]:
        arrived, names.arrived = names.arrived, []
        for name in arrived:
            names.being_told[name] = names.being_told.get(name, 0) + 1
        return arrived

    def told(self, key: str, arrived: list[str], *, heard: bool) -> None:
        """Note that the request with which a hub was told is over, and whether the hub has heard it."""
        names = self._pages.get(key)
        if names is None:
            return
        for name in arrived:
            left = names.being_told.pop(name, 1) - 1
            if left > 0:
                names.being_told[name] = left
        if not heard:
            names.arrived += [name for name in arrived if name not in names.arrived]
            self._tell_soon()
        self._drop_if_done(key, names)

    def over(self, key: str, pull: str, *, arrived: bool, tell: bool = True) -> None:
        """Note what has become of the answer to a pull; and tell of it, if there is a hub to hear it."""
        names = self._pages.get(key)
        if names is None or pull not in names.carried:
            return
        del names.carried[pull]
        if arrived:
            names.arrived.append(pull)
            self._tell_soon()
        elif tell:
            self._start(self._tell(key, [], [pull]))
        self._drop_if_done(key, names)

    def forget(self, key: str) -> None:
        """Know nothing more of a page that has gone."""
        self._pages.pop(key, None)

    def _drop_if_done(self, key: str, names: _Names) -> None:
        if not names:
            self.forget(key)

    # ------------------------------------------------------------------ telling without a request of the page's

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SOON, self._tell_all)

    def _tell_all(self) -> None:
        self._timer = None
        for key, names in list(self._pages.items()):
            if names.arrived:
                self._start(self._tell_of(key, self._take(names)))

    async def _tell_of(self, key: str, arrived: list[str]) -> None:
        await self._tell(key, arrived, [])
        self.told(key, arrived, heard=True)  # or there is nobody to hear it: its successor hands it out again

    def _start(self, telling: Awaitable[None]) -> None:
        task = asyncio.ensure_future(telling)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def close(self) -> None:
        """Tell what is known so far."""
        if self._timer is not None:
            self._timer.cancel()
        self._tell_all()
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=LAST_WORDS)


@dataclass(frozen=True, slots=True)
class Told:
    """What a hub is told with one request of a page's.

    Parameters
    ----------
    carrier : Carrier
        Who tells it.
    key : str
        The page's private key.
    arrived : list of str
        Names of earlier pulls.
    pull : str
        That of the request itself, if it is a pull.
    fields : dict
        As it stands in headers.
    """

    carrier: Carrier
    key: str
    arrived: list[str] = field(default_factory=list)
    pull: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    def is_heard(self) -> None:
        """Note that the hub has answered."""
        if self.arrived:
            self.carrier.told(self.key, self.arrived, heard=True)

    def is_not_heard(self, *, by_a_hub_that_is_there: bool) -> None:
        """Note that no answer has come, and none will."""
        if self.arrived:
            self.carrier.told(self.key, self.arrived, heard=not by_a_hub_that_is_there)
        if self.pull:
            self.carrier.over(self.key, self.pull, arrived=False, tell=by_a_hub_that_is_there)

    def over(self, *, arrived: bool) -> None:
        """Note whether the page has got the answer."""
        if self.pull:
            self.carrier.over(self.key, self.pull, arrived=arrived)
