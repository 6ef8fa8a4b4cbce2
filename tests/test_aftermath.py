"""What becomes of a hub whose worker has ended: the table, row by row."""

import pytest

from hubfarm.coordinator.aftermath import EARLY, FIRST_PAUSE, MAX_EARLY_DEATHS, Decision, Next, after_end
from hubfarm.registry.hubspec import Restart

DIED = {"in_order": False, "finished": False}
ENDED = {"in_order": True, "finished": False}
FINISHED = {"in_order": True, "finished": True}


@pytest.mark.parametrize(
    ("policy", "how", "step"),
    [
        (Restart.ALWAYS, DIED, Next.REPLACE),
        (Restart.ALWAYS, ENDED, Next.REPLACE),
        (Restart.ALWAYS, FINISHED, Next.FORGET),
        (Restart.ON_FAILURE, DIED, Next.REPLACE),
        (Restart.ON_FAILURE, ENDED, Next.FORGET),
        (Restart.ON_FAILURE, FINISHED, Next.FORGET),
        (Restart.NEVER, DIED, Next.FORGET),
        (Restart.NEVER, ENDED, Next.FORGET),
        (Restart.NEVER, FINISHED, Next.FORGET),
    ],
)
def test_policy_decides_what_becomes_of_a_hub(policy: Restart, how: dict[str, bool], step: Next) -> None:
    assert after_end(policy, wanted=True, served=60, early_deaths=0, **how).step is step


@pytest.mark.parametrize("policy", Restart)
@pytest.mark.parametrize("how", [DIED, ENDED, FINISHED])
def test_hub_that_nobody_wants_is_forgotten(policy: Restart, how: dict[str, bool]) -> None:
    assert after_end(policy, wanted=False, served=0, early_deaths=0, **how) == Decision(Next.FORGET)


def test_hub_that_had_served_for_a_second_is_replaced_at_once_however_often() -> None:
    decision = after_end(Restart.ON_FAILURE, wanted=True, served=EARLY, early_deaths=4, **DIED)
    assert decision == Decision(Next.REPLACE, pause=0, early_deaths=0)


def test_early_deaths_are_given_time_that_doubles_and_then_given_up() -> None:
    pauses, deaths = [], 0
    while True:
        decision = after_end(Restart.ALWAYS, wanted=True, served=EARLY / 2, early_deaths=deaths, **DIED)
        deaths = decision.early_deaths
        if decision.step is Next.GIVE_UP:
            break
        pauses.append(decision.pause)
    assert pauses == [FIRST_PAUSE * factor for factor in (1, 2, 4, 8)]
    assert deaths == MAX_EARLY_DEATHS == 5
