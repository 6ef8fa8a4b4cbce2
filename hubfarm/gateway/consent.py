"""Which questions wait for the user, and what may ask: pure, with no clock and nobody to tell.

A page that wants to come in makes a question, or joins the one of its origin that waits already: however often it
asks, it is one question.  No is what silence means.
"""

import secrets
from collections import deque
from dataclasses import dataclass, field

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.origins import can_be_remembered, origin_of
from hubfarm.visible import brief

MOST_WAITING = 20
"""Questions that wait at a time."""

MOST_JOINED = 5
"""Pages of one origin that wait for the same answer."""

MOST_A_MINUTE = 5
"""New questions of one origin within a minute."""

MOST_ORIGINS = 1000
"""Origins whose questions are counted."""

LONGEST_NAME = 100
LONGEST_REFERER = 200
"""Characters of them that are shown."""

_MINUTE = 60.0


class NotAsked(Exception):
    """The user is not asked; the text says why, for the page."""


@dataclass(slots=True)
class Question:
    """One question.

    Parameters
    ----------
    id : str
        Names it.
    origin : str
        What the browser says; see `hubfarm.spec.origins`.
    name, referer : str
        What the page says of itself, made fit to be shown.
    suspicion : str
        Why the user should look twice; empty for no reason.
    asked, until : float
        When it was asked, and when silence is no.
    pages : int
        How many wait for the answer.
    """

    id: str
    origin: str
    name: str
    referer: str
    suspicion: str
    asked: float
    until: float
    pages: int = 1


@dataclass(slots=True)
class Consent:
    """The questions.

    Parameters
    ----------
    patience : float
        After so long silence is no, seconds.

    Examples
    --------
    >>> consent = Consent(patience=60.0)
    >>> one = consent.ask("https://a.example", "Viewer", "https://a.example/page", now=0.0)
    >>> consent.ask("https://a.example", "Viewer", "https://a.example/page", now=0.1) is one, one.pages
    (True, 2)
    >>> [each.name for each in consent.expired(now=60.0)], consent.waiting
    (['Viewer'], {})
    """

    patience: float
    waiting: dict[str, Question] = field(default_factory=dict)
    _asked: dict[str, deque[float]] = field(default_factory=dict)

    def ask(self, origin: str, name: str, referer: str, now: float) -> Question:
        """Return the question by which a page waits.

        Raises
        ------
        NotAsked
            Too many wait, or this origin asks too often.
        """
        for question in self.waiting.values():
            if question.origin == origin:
                return self._joined(question)
        if len(self.waiting) >= MOST_WAITING:
            raise NotAsked(f"{MOST_WAITING} web pages wait for an answer already: try again in a minute")
        self._count(origin, now)
        question = Question(
            id=secrets.token_hex(3),
            origin=origin,
            name=brief(name, LONGEST_NAME),
            referer=brief(referer, LONGEST_REFERER),
            suspicion=suspicion(origin, referer),
            asked=now,
            until=now + self.patience,
        )
        self.waiting[question.id] = question
        return question

    def _joined(self, question: Question) -> Question:
        if not can_be_remembered(question.origin):
            raise NotAsked("a page of an origin that cannot be told from others waits for an answer: only one may")
        if question.pages >= MOST_JOINED:
            raise NotAsked(f"{MOST_JOINED} pages of this origin wait for an answer already")
        question.pages += 1
        return question

    def _count(self, origin: str, now: float) -> None:
        if origin not in self._asked and len(self._asked) >= MOST_ORIGINS:
            self._asked = {each: seen for each, seen in self._asked.items() if now - seen[-1] < _MINUTE}
            if len(self._asked) >= MOST_ORIGINS:
                raise NotAsked("pages of too many origins ask: try again in a minute")
        times = self._asked.setdefault(origin, deque(maxlen=MOST_A_MINUTE))
        if len(times) == MOST_A_MINUTE and now - times[0] < _MINUTE:
            raise NotAsked(f"pages of this origin have asked {MOST_A_MINUTE} times within a minute: wait")
        times.append(now)

    def leave(self, question: Question) -> None:
        """One page waits no more; without any the question is none."""
        question.pages -= 1
        if question.pages <= 0:
            self.waiting.pop(question.id, None)

    def take(self, id: str) -> Question:
        """Return a question that is answered now, and waits no more.

        Raises
        ------
        WrongUse
            None of this id waits.
        """
        try:
            return self.waiting.pop(id)
        except KeyError:
            raise WrongUse(f"no page waits as {id[:80]!r}: it has been answered, or has gone") from None

    def put_back(self, question: Question) -> None:
        """Have a question wait again that was taken, and not answered after all."""
        self.waiting[question.id] = question

    def expired(self, now: float) -> list[Question]:
        """Return the questions that nobody has answered in time; they wait no more."""
        over = [question for question in self.waiting.values() if now >= question.until]
        for question in over:
            del self.waiting[question.id]
        return over


def suspicion(origin: str, referer: str) -> str:
    """Say what is odd about where a page comes from; empty for nothing.

    Examples
    --------
    >>> suspicion("https://a.example", "https://b.example/page")
    'the browser says https://a.example, and the page says that it is of https://b.example'
    >>> suspicion("https://a.example", "https://a.example/page"), suspicion("https://a.example", "")
    ('', '')
    """
    if origin == "null":
        return "the browser does not say where this page comes from: it could be anybody's"
    if not can_be_remembered(origin):
        return "it is no page in a browser, but a program of this account"
    claimed = origin_of(referer)
    if referer and claimed != origin:
        return f"the browser says {origin}, and the page says that it is of {brief(claimed or referer, LONGEST_NAME)}"
    return ""
