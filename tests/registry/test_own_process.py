"""A process says of itself what psutil says of it."""

import psutil
import pytest

from hubfarm.registry.own_process import created


def test_creation_is_that_of_psutil() -> None:
    # The boot is known to a second, and a clock that is being set right may carry it over to the next.
    assert created() == pytest.approx(psutil.Process().create_time(), abs=1.01)


def test_name_with_brackets_and_blanks_confuses_nothing() -> None:
    before = created()
    with open("/proc/self/comm", "r+", encoding="ascii") as name:
        kept = name.read()
        name.seek(0)
        name.write("a) b (c 1 2 3")
        name.flush()
        try:
            assert created() == pytest.approx(before, abs=1.01)
        finally:
            name.seek(0)
            name.write(kept.strip())
            name.flush()
