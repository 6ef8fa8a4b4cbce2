"""Lines of the log that may come thousands a second are written up to a number, and then counted."""

from collections.abc import Iterator

import pytest
from loguru import logger

from hubfarm.hub.frequent_lines import A_SECOND, COUNTED_FOR, MOST_COUNTED, FrequentLines


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def log() -> Iterator[list[str]]:
    logger.enable("hubfarm")  # a program with an embedded hub has it silent
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line).rstrip()), format="{level} {module} {message}", level="INFO")
    yield lines
    logger.remove(sink)


def test_few_lines_are_written_as_they_come(log: list[str]) -> None:
    lines = FrequentLines(Clock())
    lines.log("INFO", "{}: registered", "c1")
    lines.log("WARNING", "{}: {} not delivered", "c1", "call")
    assert log == ["INFO test_frequent_lines c1: registered", "WARNING test_frequent_lines c1: call not delivered"]


def test_of_those_above_the_limit_the_log_says_how_many_there_were_of_each_kind(log: list[str]) -> None:
    clock = Clock()
    lines = FrequentLines(clock)
    for number in range(A_SECOND + 30):
        lines.log("INFO", "{}: registered", f"c{number}")
    lines.log("WARNING", "{}: {} not delivered", "c1", "call")
    assert len(log) == A_SECOND
    clock.now += 1.0
    lines.settle()
    said = [line.split(" ", 2)[::2] for line in log[A_SECOND:]]
    assert said == [
        ["INFO", "30 more lines in a second like this one: …: registered"],
        ["WARNING", "1 more lines in a second like this one: …: … not delivered"],
    ]


def test_next_second_has_room_again(log: list[str]) -> None:
    clock = Clock()
    lines = FrequentLines(clock)
    for _ in range(2):
        for number in range(2 * A_SECOND):
            lines.log("INFO", "{}: registered", f"c{number}")
        clock.now += 1.0
    lines.settle()
    assert sum("…" not in line for line in log) == 2 * A_SECOND
    assert sum("…" in line for line in log) == 2


def test_nothing_is_said_while_the_second_lasts(log: list[str]) -> None:
    clock = Clock()
    lines = FrequentLines(clock)
    for number in range(A_SECOND + 1):
        lines.log("INFO", "{}: registered", f"c{number}")
    clock.now += 0.5
    lines.settle()
    assert len(log) == A_SECOND


def test_line_that_repeats_itself_is_written_once_and_then_counted(log: list[str]) -> None:
    clock = Clock()
    lines = FrequentLines(clock)
    for _ in range(2):
        for _ in range(40):
            lines.log_once("WARNING", "not let in: {}: {}", "anna {", "for luigi")
            clock.now += 1.0
        lines.log_once("WARNING", "not let in: {}: {}", "paul", "for luigi")
        clock.now += COUNTED_FOR
        lines.settle()
    own = "WARNING test_frequent_lines not let in:"
    assert [line.replace("WARNING frequent_lines 39", "39") for line in log] == [
        f"{own} anna {{: for luigi",
        f"{own} paul: for luigi",
        "39 times more: not let in: anna {: for luigi",
    ] * 2


def test_only_so_many_lines_are_counted_at_a_time(log: list[str]) -> None:
    clock = Clock()
    lines = FrequentLines(clock)
    for _ in range(2):
        lines.log_once("WARNING", "not let in: {}", "anna")
    for number in range(MOST_COUNTED):
        clock.now += 0.01
        lines.log_once("WARNING", "not let in: {}", f"user-{number}")
    assert len(lines._repeated) == MOST_COUNTED
    assert sum("1 times more: not let in: anna" in line for line in log) == 1
