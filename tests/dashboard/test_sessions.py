"""Sessions: whose connection a cookie counts for, and how long."""

import pytest

from hubfarm.dashboard.sessions import LASTS, MOST, Sessions
from hubfarm.dashboard.visitor import NotAllowed
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_cookie_counts_from_the_account_that_has_come_in_alone(paths: Paths) -> None:
    sessions = Sessions(paths, "token", Clock())
    key = sessions.enter_by_token("token", 1000)
    assert sessions.of(key, 1000) is not None
    assert sessions.of(key, 1001) is None
    assert sessions.of(key, None) is None
    assert sessions.of(key, 1000) is not None  # a thief does not end it
    assert sessions.of("", 1000) is None


def test_empty_token_opens_nothing(paths: Paths) -> None:
    with pytest.raises(NotAllowed):
        Sessions(paths, "", Clock()).enter_by_token("", 1000)


def test_session_that_nobody_uses_is_over_and_ends_what_goes_on_for_it(paths: Paths) -> None:
    clock = Clock()
    sessions = Sessions(paths, "token", clock)
    key = sessions.enter_by_token("token", 1000)
    session = sessions.of(key, 1000)
    assert session is not None
    ended: list[bool] = []
    session.endings.append(lambda: ended.append(True))
    clock.now = LASTS
    assert sessions.of(key, 1000) is not None
    clock.now = 2 * LASTS + 1
    assert sessions.of(key, 1000) is None
    assert ended == [True]


def test_sessions_are_bounded_and_the_oldest_goes(paths: Paths) -> None:
    clock = Clock()
    sessions = Sessions(paths, "token", clock)
    keys = []
    for _ in range(MOST + 1):
        clock.now += 1
        keys.append(sessions.enter_by_token("token", 1000))
    assert sessions.of(keys[0], 1000) is None
    assert sessions.of(keys[1], 1000) is not None


def test_user_who_is_thrown_out_has_no_session(farm: Farm, paths: Paths) -> None:
    farm.users.add("luigi", "a long password")
    sessions = Sessions(paths, "token", Clock())
    key = sessions.enter_by_password("luigi", "a long password", 1000)
    assert sessions.of(key, 1000) is not None
    farm.users.disconnect("luigi")
    assert sessions.of(key, 1000) is None
    again = sessions.enter_by_password("luigi", "a long password", 1000)
    assert sessions.of(again, 1000) is not None
