"""Clients that talk through a hub while it falls again and again, and account for every message.

Built on the standard library's XML-RPC, nothing of hubfarm in it.  They send a request again only
where that library does so by itself: once, when a connection that stood is reset.  A request that
has failed even so is doubtful: it may have been accepted or not.
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from queue import SimpleQueue
from typing import Any
from xmlrpc.client import Fault, SafeTransport, ServerProxy, Transport

from tests.support import Receiver, message

MTYPE = "test.talk"

UNANSWERED = 20
"""So many calls a talker lets wait for their answers before it sends more."""


class Service:
    """When the hub has answered anybody, and how often it broke a connection instead."""

    def __init__(self, *, tls: bool = False) -> None:
        self.tls = tls
        self.longest_gap = 0.0
        """The longest time in which no client got an answer, seconds."""
        self.resets = 0
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def answered(self) -> None:
        now = time.monotonic()
        with self._lock:
            self.longest_gap = max(self.longest_gap, now - self._last)
            self._last = now

    def broken(self) -> None:
        with self._lock:
            self.resets += 1


class _WatchedTransport(SafeTransport):
    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    def make_connection(self, host: Any) -> Any:
        return (SafeTransport if self._service.tls else Transport).make_connection(self, host)

    def single_request(self, *arguments: Any, **options: Any) -> Any:
        try:
            answer = super().single_request(*arguments, **options)
        except (OSError, HTTPException):
            self._service.broken()
            raise
        self._service.answered()
        return answer


@dataclass
class Sent:
    """What a talker has sent, by number; the numbers of one sender rise."""

    accepted: dict[int, str] = field(default_factory=dict)
    """The receivers of notifications whose sender was told OK."""
    calls: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Receiver and msg-id of calls whose sender was told OK."""
    doubtful: set[int] = field(default_factory=set)


class Talker(Receiver):
    """One client: it sends notifications and calls to its peers in turn, and replies to theirs."""

    def __init__(self, service: Service) -> None:
        self.sent = Sent()
        self.heard: defaultdict[str, list[int]] = defaultdict(list)
        """The numbers that arrived, by sender, in order, duplicates and all."""
        self.responses: defaultdict[int, list[Any]] = defaultdict(list)
        """The responses that arrived, by the number of the call (its msg-tag)."""
        self.faults: list[Fault] = []
        self._service = service
        self._to_answer: SimpleQueue[str | None] = SimpleQueue()
        self._stop = threading.Event()
        super().__init__()

    def _dispatch(self, method: str, params: tuple[Any, ...]) -> str:
        _, sender, *tag, content = params
        if method == "samp.client.receiveResponse":
            self.responses[int(tag[0])].append((sender, content))
            return ""
        self.heard[sender].append(int(content["samp.params"]["n"]))
        if method == "samp.client.receiveCall":
            self._to_answer.put(tag[0])
        return ""

    def start(self, url: str, peers: "Sequence[Talker]") -> None:
        """Begin to talk to the others among `peers`, which have joined."""
        self._url = url
        self._peers = [peer.id for peer in peers if peer is not self]
        self._threads = [threading.Thread(target=self._talk), threading.Thread(target=self._answer)]
        for thread in self._threads:
            thread.start()

    def fall_silent(self) -> None:
        """Send nothing more; go on answering."""
        self._stop.set()
        self._threads[0].join()

    def leave(self) -> None:
        """Answer nothing more."""
        self._to_answer.put(None)
        self._threads[1].join()

    def _proxy(self) -> Any:
        return ServerProxy(self._url, transport=_WatchedTransport(self._service)).samp.hub

    def _talk(self) -> None:
        hub = self._proxy()
        chance = random.Random(self.id)
        number = 0
        while not self._stop.is_set():
            if len(self.sent.calls) - len(self.responses) > UNANSWERED:
                time.sleep(0.001)
                continue
            number += 1
            to = chance.choice(self._peers)
            content = message(MTYPE, n=str(number))
            try:
                if number % 2:
                    hub.notify(self.key, to, content)
                    self.sent.accepted[number] = to
                else:
                    self.sent.calls[number] = to, hub.call(self.key, to, str(number), content)
            except Fault as fault:
                self.faults.append(fault)
            except (OSError, HTTPException):
                self.sent.doubtful.add(number)

    def _answer(self) -> None:
        hub = self._proxy()
        replied = set()
        while (msg_id := self._to_answer.get()) is not None:
            if msg_id in replied:
                continue  # a call that came twice, as the msg-id says
            replied.add(msg_id)
            response = {"samp.status": "samp.ok", "samp.result": {"msg-id": msg_id}}
            while True:
                try:
                    hub.reply(self.key, msg_id, response)
                except Fault as fault:
                    if "answered already" not in fault.faultString:
                        self.faults.append(fault)
                except (OSError, HTTPException):
                    continue  # not told OK: the hub takes a second one only if it lost the first
                break


@dataclass(frozen=True)
class Account:
    """What became of all that was sent."""

    accepted: int
    """Messages whose sender was told OK."""
    calls: int
    """Asynchronous calls among them."""
    lost: list[tuple[str, int]]
    """Messages that were accepted and did not arrive: sender and number."""
    unanswered: list[tuple[str, int]]
    """Calls that were accepted and got no response."""
    answered_otherwise: list[tuple[str, int, Any]]
    """Calls whose responses are, duplicates taken out, not the one and right one."""
    disorder: list[tuple[str, str]]
    """Sender and receiver between whom messages overtook each other."""
    delivered: int
    """Messages and responses that arrived, duplicates and all."""
    duplicates: int
    doubtful: int
    """Messages whose sender was told nothing."""
    doubtful_arrived: int
    faults: list[str]

    @property
    def settled(self) -> bool:
        """Whether all that was accepted has arrived and is answered."""
        return not self.lost and not self.unanswered


def account_for(talkers: Sequence[Talker]) -> Account:
    """Compare what was sent with what arrived."""
    # Copies, which are made in one step: the talkers may still be hearing.
    heard = {(talker.id, sender): [*numbers] for talker in talkers for sender, numbers in talker.heard.copy().items()}
    answers = {talker.id: talker.responses.copy() for talker in talkers}
    arrived = Counter((sender, number) for (_, sender), numbers in heard.items() for number in numbers)
    accepted = [(talker.id, number) for talker in talkers for number in (*talker.sent.accepted, *talker.sent.calls)]
    calls = [(talker, number, msg_id) for talker in talkers for number, (_, msg_id) in talker.sent.calls.items()]
    doubtful = [(talker.id, number) for talker in talkers for number in talker.sent.doubtful]
    responses = [each for answered in answers.values() for each in answered.values()]
    return Account(
        accepted=len(accepted),
        calls=len(calls),
        lost=[each for each in accepted if each not in arrived],
        unanswered=[(talker.id, number) for talker, number, _ in calls if number not in answers[talker.id]],
        answered_otherwise=[
            (talker.id, number, answers[talker.id][number])
            for talker, number, msg_id in calls
            if number in answers[talker.id] and not _is_the_one_answer(answers[talker.id][number], msg_id)
        ],
        disorder=[(sender, receiver) for (receiver, sender), numbers in heard.items() if not _rises(numbers)],
        delivered=sum(arrived.values()) + sum(map(len, responses)),
        duplicates=sum(arrived.values()) - len(arrived) + sum(len(each) - 1 for each in responses),
        doubtful=len(doubtful),
        doubtful_arrived=sum(each in arrived for each in doubtful),
        faults=[fault.faultString for talker in talkers for fault in talker.faults],
    )


def _is_the_one_answer(responses: list[Any], msg_id: str) -> bool:
    """Tell whether the call `msg_id` has one answer, whatever came twice.

    A call that was sent again after a reset has two msg-ids, and one answer to each.
    """
    distinct = {str(each): each for each in responses}.values()
    by_msg_id = Counter(response["samp.result"]["msg-id"] for _, response in distinct if "samp.result" in response)
    return len(by_msg_id) == len(distinct) and by_msg_id[msg_id] == 1


def _rises(numbers: list[int]) -> bool:
    """Tell whether the numbers rise once those that came before are taken out."""
    first = list(dict.fromkeys(numbers))
    return first == sorted(first)
