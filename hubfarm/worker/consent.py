"""Who asks the user about web pages, for a hub in a program: the program's own dialogue, or the terminal.

One page is asked about at a time.  No answer within a minute is no; what was asked about may be answered late, and that
answer is for nobody: only after it is the next page asked about, since an answer does not say to which question.
"""

import asyncio
import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any, Protocol

from hubfarm.samp.errors import Fault
from hubfarm.samp.values import Value
from hubfarm.visible import visible

PATIENCE = 60.0
"""How long the user has to answer, seconds."""

MOST_WAITING = 10
"""Pages that wait to be asked about; a further one is told to try again."""

Question = tuple[Value, tuple[str, int], str]
"""What is asked about: what the page says that it is, its address, and its origin by the browser's word."""


class Dialogue(Protocol):
    """What asks the user on a program's behalf: astropy's ``WebProfileDialog``, or anything alike."""

    queue_request: Any
    """Where the hub puts what asks to join."""
    queue_result: Any
    """Where the answers are put."""


class Consent:
    """Asks the user; made in the hub's own event loop.

    Parameters
    ----------
    dialogue : Dialogue or None
        By which; None for the terminal.
    """

    def __init__(self, dialogue: Dialogue | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._questions: queue.Queue[Question] = queue.Queue()
        self._answers = _Answers(self._told)
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._answer: asyncio.Future[bool] | None = None
        self._open = False
        """A question is before the user."""
        self._dialogue = dialogue
        if dialogue is not None:
            dialogue.queue_request, dialogue.queue_result = self._questions, self._answers

    async def ask(self, identity: Value, client: tuple[str, int], origin: str) -> bool:
        """Ask whether a page may come in; silence is no.

        Raises
        ------
        Fault
            Too many pages wait to be asked about.
        """
        if self._waiting >= MOST_WAITING:
            raise Fault("many pages wait for the user's word: try again later")
        self._waiting += 1
        try:
            async with asyncio.timeout(PATIENCE), self._one_at_a_time:
                return await self._answer_to((identity, client, origin or "unknown"))
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1

    async def _answer_to(self, question: Question) -> bool:
        if self._open:
            await self._next_answer()  # the one to a question that nobody waits for any more
        self._put(question)
        try:
            return await self._next_answer()
        finally:
            self._withdraw()

    async def _next_answer(self) -> bool:
        self._answer = self._loop.create_future()
        try:
            return await self._answer
        finally:
            self._answer = None

    def _told(self, answer: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the hub has ended meanwhile
            self._loop.call_soon_threadsafe(self._take, answer)

    def _take(self, answer: bool) -> None:
        if not self._open:
            return  # nothing was asked
        self._open = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _put(self, question: Question) -> None:
        self._open = True
        if self._dialogue is not None:
            self._questions.put(question)
        else:
            threading.Thread(target=self._ask_on_terminal, args=[question], name="hubfarm-consent", daemon=True).start()

    def _withdraw(self) -> None:
        """Take back a question that the dialogue has not seen yet."""
        try:
            self._questions.get_nowait()
        except queue.Empty:
            return
        self._open = False

    def _ask_on_terminal(self, question: Question) -> None:
        identity, _, origin = question
        name = identity.get("samp.name", "") if isinstance(identity, dict) else identity
        print(
            f"A web page wants to join this SAMP hub. It calls itself {visible(str(name)[:200])!r}; the browser says "
            f"that it is of {visible(origin[:200])}. Once in, it can send messages to your programs, and get theirs."
        )
        try:
            yes = input("Let it in? [yes|no] ").strip().lower() in ("yes", "y")
        except (EOFError, OSError):
            yes = False
        self._answers.put(yes)


class _Answers(queue.Queue[bool]):
    """A queue to which programs put their answers; each is told at once."""

    def __init__(self, told: Callable[[bool], None]) -> None:
        super().__init__()
        self._told = told

    def put(self, item: bool, block: bool = True, timeout: float | None = None) -> None:
        self._told(bool(item))


def can_ask(dialogue: object) -> bool:
    """Tell whether there is anybody to ask."""
    return dialogue is not None or (sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty())
