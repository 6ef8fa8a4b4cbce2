"""Questions that wait for the user, with the pages that wait for the answer, and where they are shown."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum

from loguru import logger

from hubfarm.gateway.board import Board
from hubfarm.gateway.consent import Consent, NotAsked, Question
from hubfarm.gateway.hubs import Hubs, WebHub
from hubfarm.registry.settings import WebSettings
from hubfarm.registry.web_memory import ALWAYS, ASK, WebMemory, until
from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.spec.origins import can_be_remembered
from hubfarm.visible import visible

DAY = 86400.0


class Lasts(StrEnum):
    """For how long the user says yes."""

    ONCE = "once"
    DAY = "day"
    ALWAYS = "always"

    def as_remembered(self) -> str:
        """Return how it stands in the file."""
        match self:
            case Lasts.DAY:
                return until(time.time() + DAY)
            case Lasts.ALWAYS:
                return ALWAYS
        return ASK


Alert = Callable[[Question, Sequence[WebHub]], None]
"""Told of each new question, and of the hubs to choose from."""


class Asking:
    """Asks the user.

    Parameters
    ----------
    hubs : Hubs
        Which there are to enter.
    memory : WebMemory
        What is remembered.
    board : Board
        Told that something has changed.
    settings : callable
        Returns the settings in force.
    """

    def __init__(self, hubs: Hubs, memory: WebMemory, board: Board, settings: Callable[[], WebSettings]) -> None:
        self._hubs = hubs
        self._memory = memory
        self._board = board
        self._settings = settings
        self.consent = Consent(settings().patience)
        self._answers: dict[str, asyncio.Future[WebHub]] = {}
        self.alerts: list[Alert] = []
        self.settled: list[Callable[[str], None]] = []
        """Told the id of each question that waits no more."""

    async def hub_for(self, origin: str, name: str, referer: str) -> WebHub:
        """Return the hub that a page may enter: as remembered, or as the user says.

        Raises
        ------
        Fault
            It may enter none.
        """
        if (hub := await self._remembered(origin)) is not None:
            logger.info("let in unasked: {}", visible(origin))
            return hub
        if await self._hubs.find_living() is None:
            raise Fault("no hub runs in the farm that answers here: hubfarm start starts one")
        return await self._ask(origin, name, referer)

    async def _remembered(self, origin: str) -> WebHub | None:
        try:
            label = self._memory.read().hub_for(origin, time.time())
        except HubfarmError as error:
            logger.error("{}", error)
            label = ""
        label = label or self._settings().trusted.get(origin, "")
        return await self._hubs.find_living(label) if label else None

    async def _ask(self, origin: str, name: str, referer: str) -> WebHub:
        self.consent.patience = self._settings().patience
        try:
            question = self.consent.ask(origin, name, referer, time.monotonic())
        except NotAsked as reason:
            raise Fault(str(reason)) from None
        answer = self._answers.get(question.id)
        is_new = answer is None
        if answer is None:
            answer = self._answers[question.id] = asyncio.get_running_loop().create_future()
        self._board.change()
        try:
            if is_new:
                logger.info("asks to come in: {} ({})", visible(origin), question.name)
                await self._show(question)
            return await asyncio.shield(answer)
        finally:
            if question.id in self.consent.waiting:  # the page has gone
                self.consent.leave(question)
                if question.id not in self.consent.waiting:
                    self._settle(question.id)
                self._board.change()

    async def _show(self, question: Question) -> None:
        hubs = await self.to_choose(question)
        for alert in self.alerts:
            with suppress(Exception):
                alert(question, hubs)

    async def to_choose(self, question: Question) -> list[WebHub]:
        """Return the hubs that a page may be let into, the default first."""
        last = ""
        with suppress(HubfarmError):
            last = self._memory.read().last_hub_of(question.origin)
        return await self._hubs.to_choose(last)

    # ------------------------------------------------------------------ answers

    async def allow(self, id: str, selector: str, lasts: Lasts) -> WebHub:
        """Let the pages of a question into a hub.

        Raises
        ------
        WrongUse
            There is no such question or hub, or the origin cannot be remembered.
        HubfarmError
            It is to be remembered and cannot be, as the file cannot be written or read; nobody is let in.
        """
        question = self.consent.take(id)  # first of all: another answer may come meanwhile
        try:
            hub = await self._hubs.find(selector)
            if lasts is not Lasts.ONCE and not can_be_remembered(question.origin):
                raise WrongUse(
                    f"a page of the origin {question.origin} can be let in this once only: all such look alike"
                )
            await self._note(question.origin, hub.label, lasts)
        except BaseException:
            self.consent.put_back(question)
            raise
        logger.info("the user lets {} into {} ({})", visible(question.origin), hub.label, lasts.value)
        self._settle(id, hub)
        return hub

    async def _note(self, origin: str, label: str, lasts: Lasts) -> None:
        try:
            await asyncio.to_thread(self._memory.note, origin, label, lasts.as_remembered())
        except HubfarmError as error:
            if lasts is not Lasts.ONCE:
                raise
            logger.warning("which hub it was is not remembered: {}", error)  # it is only to be offered first

    def deny(self, id: str) -> None:
        """Refuse the pages of a question.

        Raises
        ------
        WrongUse
            There is no such question.
        """
        question = self.consent.take(id)
        logger.info("the user refuses {}", visible(question.origin))
        self._settle(id, Fault("the user has refused this page"))

    def expire(self) -> None:
        """Take silence for no; called now and then."""
        for question in self.consent.expired(time.monotonic()):
            logger.info("nobody has answered: {} is refused", visible(question.origin))
            self._settle(question.id, Fault(f"the user has not answered within {self.consent.patience:g} s: refused"))

    def _settle(self, id: str, answer: WebHub | Fault | None = None) -> None:
        waiting = self._answers.pop(id)
        if isinstance(answer, WebHub):
            waiting.set_result(answer)
        elif answer is not None:
            waiting.set_exception(answer)
            waiting.exception()  # also if nobody waits any more
        else:
            waiting.cancel()
        for told in self.settled:
            with suppress(Exception):
                told(id)
        self._board.change()
