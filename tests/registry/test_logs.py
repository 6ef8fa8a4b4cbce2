"""Log files: private, rotated, and found again when somebody has moved them."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from hubfarm.registry import logs
from hubfarm.registry.logs import RETENTION, log_errors_to, log_to, make_sink
from hubfarm.samp.errors import HubfarmError


@pytest.fixture(autouse=True)
def _own_logger() -> Iterator[None]:
    yield
    logger.remove()
    logs._made.clear()
    logger.configure(extra={}, patcher=None)
    logger.add(sys.stderr)


def lines(path: Path) -> list[str]:
    return [line.partition(": ")[2] for line in path.read_text().splitlines()]


def test_a_line_says_when_how_bad_who_and_what_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    log_to(tmp_path / "hub.log", "mima-1", "INFO")
    logger.warning("it rains")
    (line,) = (tmp_path / "hub.log").read_text().splitlines()
    assert line.split()[2:] == ["WARNING", "mima-1:", "it", "rains"]
    assert (tmp_path / "hub.log").stat().st_mode & 0o777 == 0o600


def test_what_is_below_the_level_is_left_out_and_another_level_may_follow(tmp_path: Path) -> None:
    log_to(tmp_path / "log", "x", "INFO")
    logger.debug("too quiet")
    log_to(tmp_path / "log", "x", "DEBUG")
    logger.debug("loud enough")
    assert lines(tmp_path / "log") == ["loud enough"]


def test_what_looks_like_a_key_is_hidden(tmp_path: Path) -> None:
    log_to(tmp_path / "log", "x", "INFO")
    logger.info("the key {} is wrong", "0123456789abcdef" * 2)
    assert lines(tmp_path / "log") == ["the key (a key) is wrong"]


def test_a_log_that_has_grown_makes_room_and_the_oldest_is_dropped(tmp_path: Path) -> None:
    make_sink("INFO").maxBytes = 400
    log_to(tmp_path / "log", "x", "INFO")
    for number in range(100):
        logger.info("{}", number)
    files = [tmp_path / "log", *(tmp_path / f"log.{number}" for number in range(1, RETENTION + 1))]
    kept = [line for path in reversed(files) for line in lines(path)]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert kept == [str(number) for number in range(100 - len(kept), 100)]
    assert all(path.stat().st_size <= 400 and path.stat().st_mode & 0o777 == 0o600 for path in files)


def test_a_log_that_was_moved_away_is_begun_anew(tmp_path: Path) -> None:
    log_to(tmp_path / "logs" / "log", "x", "INFO")
    logger.info("one")
    (tmp_path / "logs" / "log").rename(tmp_path / "old")
    logger.info("two")
    assert (lines(tmp_path / "old"), lines(tmp_path / "logs" / "log")) == (["one"], ["two"])
    shutil.rmtree(tmp_path / "logs")
    logger.info("three")
    assert lines(tmp_path / "logs" / "log") == ["three"]


def test_the_hub_lives_on_when_its_log_has_no_room(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log_to(Path("/dev/full"), "x", "INFO")
    logger.info("lost")
    log_to(tmp_path / "log", "x", "INFO")
    logger.info("kept")
    assert lines(tmp_path / "log") == ["kept"]


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HubfarmError, match=f"cannot write the log {tmp_path}/log: "):
        log_to(tmp_path / "log", "x", "INFO")


def test_errors_go_to_a_file_of_their_own_too_and_no_value_with_them(tmp_path: Path) -> None:
    log_to(tmp_path / "log", "x", "INFO")
    log_errors_to(tmp_path / "errors")
    logger.warning("it rains")
    secret = "correct horse"
    try:
        raise ValueError(len(secret))
    except ValueError:
        logger.exception("it pours")
    for name in ("log", "errors"):
        text = (tmp_path / name).read_text()
        assert "ValueError: 13" in text
        assert secret not in text
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
    assert lines(tmp_path / "errors")[0] == "it pours"
    with pytest.raises(HubfarmError, match=f"^cannot write the log {tmp_path}: Is a directory$"):
        log_errors_to(tmp_path)


def test_a_child_aims_at_a_file_of_its_own(tmp_path: Path) -> None:
    make_sink("INFO")
    for name in ("one", "two"):
        if (child := os.fork()) == 0:
            log_to(tmp_path / name, name, "INFO")
            logger.info("{}", name)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    assert (lines(tmp_path / "one"), lines(tmp_path / "two")) == (["one"], ["two"])
