"""What becomes of a hub whose worker has ended: the table, row by row."""

from typing import Any

import pytest

from hubfarm.coordinator.aftermath import (
    EARLY,
    FIRST_PAUSE,
    FREE_DEATHS,
    FREE_FALLS,
    HEALTHY,
    LONGEST_PAUSE,
    MAX_DEATHS,
    MAX_EARLY_DEATHS,
    MAX_FALLS,
    Deaths,
    Decision,
    Next,
    after_end,
)
from hubfarm.spec.options import Restart

DIED: dict[str, Any] = {"in_order": False, "finished": False, "fell": False}
FELL: dict[str, Any] = DIED | {"fell": True}
ENDED: dict[str, Any] = {"in_order": True, "finished": False, "fell": False}
FINISHED: dict[str, Any] = {"in_order": True, "finished": True, "fell": False}


@pytest.mark.parametrize(
    ("policy", "how", "step"),
    [
        (Restart.ALWAYS, DIED, Next.REPLACE),
        (Restart.ALWAYS, FELL, Next.REPLACE),
        (Restart.ALWAYS, ENDED, Next.REPLACE),
        (Restart.ALWAYS, FINISHED, Next.FORGET),
        (Restart.ON_FAILURE, DIED, Next.REPLACE),
        (Restart.ON_FAILURE, FELL, Next.REPLACE),
        (Restart.ON_FAILURE, ENDED, Next.FORGET),
        (Restart.ON_FAILURE, FINISHED, Next.FORGET),
        (Restart.NEVER, DIED, Next.FORGET),
        (Restart.NEVER, FELL, Next.FORGET),
        (Restart.NEVER, ENDED, Next.FORGET),
        (Restart.NEVER, FINISHED, Next.FORGET),
    ],
)
def test_policy_decides_what_becomes_of_a_hub(policy: Restart, how: dict[str, Any], step: Next) -> None:
    assert after_end(policy, wanted=True, served=60, deaths=Deaths(), **how).step is step


@pytest.mark.parametrize("policy", Restart)
@pytest.mark.parametrize("how", [DIED, FELL, ENDED, FINISHED])
def test_hub_that_nobody_wants_is_forgotten(policy: Restart, how: dict[str, Any]) -> None:
    assert after_end(policy, wanted=False, served=0, deaths=Deaths(), **how) == Decision(Next.FORGET)


def row(served: float, how: dict[str, Any], most: int = 1000) -> list[Decision]:
    """One death after the other, all alike, until the hub is given up."""
    decisions = [Decision(Next.REPLACE)]
    while decisions[-1].step is Next.REPLACE and len(decisions) <= most:
        decisions.append(after_end(Restart.ALWAYS, wanted=True, served=served, deaths=decisions[-1].deaths, **how))
    return decisions[1:]


def test_early_deaths_are_given_time_that_doubles_and_then_given_up() -> None:
    decisions = row(EARLY / 2, DIED)
    assert [each.pause for each in decisions[:-1]] == [FIRST_PAUSE * factor for factor in (1, 2, 4, 8)]
    assert decisions[-1].step is Next.GIVE_UP
    assert decisions[-1].deaths.early == MAX_EARLY_DEATHS == len(decisions)
    assert "died early 5 times" in decisions[-1].deaths.too_many


def test_hub_that_is_killed_is_replaced_at_once_and_given_up_only_after_very_many_deaths() -> None:
    decisions = row(EARLY, DIED)
    assert len(decisions) == MAX_DEATHS
    assert {each.pause for each in decisions[:FREE_DEATHS]} == {0.0}
    assert decisions[FREE_DEATHS].pause == FIRST_PAUSE
    assert max(each.pause for each in decisions) == LONGEST_PAUSE
    assert "died 100 times" in decisions[-1].deaths.too_many


def test_hub_that_falls_of_itself_again_and_again_is_given_up() -> None:
    decisions = row(5.0, FELL)
    assert len(decisions) == MAX_FALLS
    assert [each.pause for each in decisions[: FREE_FALLS + 2]] == [0.0] * FREE_FALLS + [FIRST_PAUSE, 2 * FIRST_PAUSE]
    assert "fell of itself 10 times" in decisions[-1].deaths.too_many


@pytest.mark.parametrize("how", [DIED, FELL])
def test_an_hour_of_health_makes_good_for_all_that_was_before(how: dict[str, Any]) -> None:
    decision = after_end(Restart.ALWAYS, wanted=True, served=HEALTHY, deaths=Deaths(4, 9, 99), **how)
    assert decision == Decision(Next.REPLACE, 0.0, Deaths(0, int(how["fell"]), 1))
    assert len(row(HEALTHY, how, most=300)) == 300


def test_an_end_in_order_counts_as_no_death() -> None:
    assert after_end(Restart.ALWAYS, wanted=True, served=0.1, deaths=Deaths(1, 2, 3), **ENDED).deaths == Deaths(1, 2, 3)
