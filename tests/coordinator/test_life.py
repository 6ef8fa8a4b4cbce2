"""The life of what the coordinator runs: the whole table, phase by phase and event by event."""

import itertools

import pytest

from hubfarm.coordinator.life import TRANSITIONS, Event, ImpossibleTransition, Life
from hubfarm.spec.states import Phase
from tests.coordinator.coordinator_support import WAYS, FakeClock


def life_in(phase: Phase, clock: FakeClock | None = None) -> Life:
    life = Life(clock or FakeClock())
    for event in WAYS[phase]:
        life.take(event)
    assert life.phase is phase
    return life


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(Phase, Event)), ids=str)
def test_every_event_leads_where_the_table_says_or_is_impossible(phase: Phase, event: Event) -> None:
    life = life_in(phase)
    after = TRANSITIONS[phase].get(event)
    if after is None:
        with pytest.raises(ImpossibleTransition, match=f"{event.value}, and it is {phase}"):
            life.take(event)
        assert life.phase is phase
    else:
        life.take(event)
        assert life.phase is after


def test_the_table_has_every_phase_and_every_event() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert {event for events in TRANSITIONS.values() for event in events} == set(Event)


def reachable_from(start: Phase) -> set[Phase]:
    reached = {start}
    while more := {after for phase in reached for after in TRANSITIONS[phase].values()} - reached:
        reached |= more
    return reached


def test_every_phase_can_be_reached_and_every_life_can_end() -> None:
    assert reachable_from(Phase.WAITING) == set(Phase)
    assert all(Phase.GONE in reachable_from(phase) for phase in Phase)
    assert TRANSITIONS[Phase.GONE] == {}


def test_only_what_has_a_process_can_see_it_end() -> None:
    for phase in Phase:
        assert life_in(phase).has_process == (Event.ENDED in TRANSITIONS[phase])


def test_a_phase_lasts_from_its_beginning_and_not_from_what_changes_nothing() -> None:
    clock = FakeClock()
    life = life_in(Phase.STOPPING, clock)
    clock.now += 5
    life.take(Event.SERVES)  # it was told to end while it was starting
    assert life.phase is Phase.STOPPING
    assert life.has_lasted(5)
    assert not life.has_lasted(5.1)
    life.take(Event.ENDED)
    assert not life.has_lasted(0.1)
