"""Who hangs, by heartbeats alone: looked at by a coordinator that is punctual, late, or blind."""

from hubfarm.coordinator.pulse import LATE, Pulse

PATIENCE = 3


class Watch:
    """Looks once a second at hubs whose last beats are as told."""

    def __init__(self) -> None:
        self.pulse: Pulse[str] = Pulse(period=1.0)
        self.now = 100.5

    def look(self, after: float = 1.0, **beats: float) -> dict[str, float]:
        self.now += after
        return self.pulse.judge(self.now, beats, PATIENCE)


def test_who_beats_never_hangs() -> None:
    watch = Watch()
    assert [watch.look(a=100.0 + n) for n in range(20)] == [{}] * 20


def test_who_has_missed_as_many_beats_as_are_borne_hangs_from_then_on() -> None:
    watch = Watch()
    assert [watch.look(a=100.0) for _ in range(PATIENCE)] == [{}] * PATIENCE
    assert watch.look(a=100.0) == {"a": 4.5}
    assert watch.look(a=100.0) == {"a": 5.5}


def test_one_that_hangs_says_nothing_of_the_others() -> None:
    watch = Watch()
    verdicts = [watch.look(stuck=100.0, well=100.0 + n) for n in range(PATIENCE + 1)]
    assert [list(each) for each in verdicts] == [[]] * PATIENCE + [["stuck"]]


def test_a_beat_makes_good_for_all_that_were_missed() -> None:
    watch = Watch()
    for _ in range(PATIENCE):
        watch.look(a=100.0)
    watch.look(a=104.0)
    assert [watch.look(a=104.0) for _ in range(PATIENCE - 1)] == [{}] * (PATIENCE - 1)
    assert watch.look(a=104.0) == {"a": watch.now - 104.0}


def test_nobody_is_judged_by_a_look_that_comes_late_itself() -> None:
    watch = Watch()
    for _ in range(10 * PATIENCE):
        assert watch.look(after=LATE + 0.1, a=100.0) == {}


def test_after_a_late_look_the_count_starts_anew() -> None:
    watch = Watch()
    for _ in range(PATIENCE):
        watch.look(a=100.0)
    assert watch.look(after=60.0, a=100.0) == {}  # the machine was suspended
    assert [watch.look(a=100.0) for _ in range(PATIENCE - 1)] == [{}] * (PATIENCE - 1)
    assert watch.look(a=100.0) == {"a": watch.now - 100.0}


def test_a_look_that_is_not_quite_punctual_counts() -> None:
    watch = Watch()
    verdicts = [watch.look(after=LATE - 0.1, a=100.0) for _ in range(PATIENCE + 1)]
    assert list(verdicts[-1]) == ["a"]


def test_what_is_late_depends_on_how_often_one_looks() -> None:
    pulse: Pulse[str] = Pulse(period=10.0)
    for number in range(1, 3):
        assert pulse.judge(number * LATE * 10.0, {"a": 0.0}, 2) == {}, "just not late"
    assert pulse.judge(3 * LATE * 10.0, {"a": 0.0}, 2) == {"a": 3 * LATE * 10.0}


def test_who_was_not_looked_at_for_a_while_starts_anew() -> None:
    watch = Watch()
    for _ in range(PATIENCE):
        watch.look(a=100.0)
    watch.look()  # it was being restarted, or the state table could not be read
    assert [watch.look(a=100.0) for _ in range(PATIENCE)] == [{}] * PATIENCE
