"""The worst that may be sent for each limit, read once in two sizes: what tests/stories/test_work_is_linear.py counts.

``python -m tests.stories.worst_documents SIZE`` reads each case once, and calls `os.getppid` before each and behind the
last: callgrind, told to write down its counts there, gets the work for each.
"""

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
from hubfarm.samp.lockfile import parse
from hubfarm.samp.mtype import candidates, check_pattern
from hubfarm.samp.values import check_string, parse_float, parse_int
from hubfarm.samp.xmlrpc import decode_call_in_outline, decode_response, encode_value
from hubfarm.wire.bare_lf import CrlfHeads
from hubfarm.wire.known_heads import KnownHeads
from hubfarm.wire.urls import check_http_url


def call(value: str) -> bytes:
    return f"<methodCall><methodName>m</methodName><params><param>{value}</param></params></methodCall>".encode()


def read(value: str) -> None:
    data = call(value)
    with suppress(Fault):
        decode_call_in_outline(data)


def in_a_map(value: str) -> str:
    return f"<value><struct><member><name>a</name>{value}</member></struct></value>"


def a_list(item: str, count: int) -> str:
    return in_a_map(f"<value><array><data>{item * count}</data></array></value>")


def members(count: int, name: Callable[[int], str]) -> str:
    inner = "".join(f"<member><name>{name(number)}</name><value/></member>" for number in range(count))
    return in_a_map(f"<value><struct>{inner}</struct></value>")


def feed_by_bytes(size: int) -> None:
    heads = CrlfHeads(size + 10)
    for byte in b"POST / HTTP/1.0\n" + b"a:b\n" * (size // 4):
        heads.feed(bytes([byte]))


DOCUMENTS: dict[str, Callable[[int], Any]] = {
    "a number that is none": lambda n: read(f"<value><double>{'1' * n}x</double></value>"),
    "numbers": lambda n: read(a_list("<value><double>1e5</double></value>", n // 40)),
    "members": lambda n: read(members(n // 50, lambda number: f"n{number}")),
    "members that differ at their ends": lambda n: read(members(n // 150, lambda number: f"{'x' * 100}{number}")),
    "twins": lambda n: read(members(n // 50, lambda number: "n" if number > n // 50 - 2 else f"n{number}")),
    "lists": lambda n: read(a_list("<value><array><data/></array></value>", n // 40)),
    "references": lambda n: read(in_a_map(f"<value>{'&#97;' * (n // 5)}</value>")),
    "comments": lambda n: read(in_a_map(f"<value>{'<!--x-->a' * (n // 9)}</value>")),
    "CDATA": lambda n: read(in_a_map(f"<value>{'<![CDATA[<]]>' * (n // 13)}</value>")),
    "ends of CDATA": lambda n: read(in_a_map(f"<value><![CDATA[{']]' * (n // 2)}]]></value>")),
    "attributes": lambda n: read(a_list("<value a='1' b='2'/>", n // 20)),
    "carriage returns": lambda n: read(in_a_map(f"<value>{chr(13) * n}</value>")),
    "wide characters": lambda n: read(in_a_map(f"<value>{'é' * (n // 2)}</value>")),
    "white space": lambda n: read(f"<value>{' ' * n}<string/></value>"),
}
"""Documents, as a function of their size in bytes."""

CASES: dict[str, Callable[[int], Any]] = DOCUMENTS | {
    "an answer": lambda n: _ignore(lambda: decode_response(call(f"<value><int>{'1' * n}x</int></value>"))),
    "a value to write": lambda n: encode_value(["<" * n]),
    "a string to check": lambda n: check_string("x" * n),
    "a float": lambda n: _ignore(lambda: parse_float("1" * n + "x")),
    "an int": lambda n: _ignore(lambda: parse_int("1" * n + "x")),
    "an MType": lambda n: _ignore(lambda: list(candidates(check_pattern("a." * (n // 2) + "a")))),
    "a URL": lambda n: _ignore(lambda: check_http_url("http://127.0.0.1/" + "x" * n)),
    "a lock file": lambda n: _ignore(lambda: parse("a=\\" * (n // 3))),
    "lines of a lock file": lambda n: _ignore(lambda: parse("a=b\r" * (n // 4))),
    "a head, byte by byte": feed_by_bytes,
    "a head without an end": lambda n: CrlfHeads(n + 1).feed(b"a: b\n" + b"content-length: " * (n // 16)),
    "heads to remember": lambda n: [KnownHeads[None]().find(b"x" * n) for _ in range(3)],
}


def _ignore(work: Callable[[], Any]) -> None:
    with suppress(Fault, WrongUse, HubfarmError):
        work()


def main() -> None:
    """Read each case once, at a size in bytes."""
    size = int(sys.argv[1])
    for work in CASES.values():
        work(2000)  # what happens once has happened
    for work in CASES.values():
        os.getppid()
        work(size)
    os.getppid()


if __name__ == "__main__":
    main()
