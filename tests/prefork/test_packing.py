"""Code that is packed is other code that does the same."""

from collections.abc import Callable

from hubfarm.prefork.packing import packing


def counter(start: int) -> Callable[[], int]:
    def following() -> int:
        nonlocal start
        start += 1
        return start

    return following


def never_called() -> int:
    return 1


def test_what_was_called_has_code_of_its_own_and_does_the_same() -> None:
    outer, before, untouched = counter.__code__, counter(7), never_called.__code__
    inner = before.__code__
    with packing():
        assert counter(1)() == 2
    assert counter.__code__ is not outer
    assert counter.__code__ == outer
    assert before.__code__ is not inner
    assert before() == 8, "a closure from before keeps what it holds"
    assert counter(3).__code__ is before.__code__, "functions made later share the code that was packed"
    assert never_called.__code__ is untouched
