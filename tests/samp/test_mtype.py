"""MTypes and subscription patterns: what they are, and which matches which (SAMP 1.3, 3.6.2 and 3.7)."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.samp.errors import BadValue
from hubfarm.samp.mtype import LONGEST, candidates, check_mtype, check_pattern, matching, without_x
from tests.strategies import mtypes, patterns, tried


def matches(pattern: str, mtype: str) -> bool:
    """The standard's words, with none of our code."""
    return pattern in ("*", mtype) or (pattern.endswith(".*") and mtype.startswith(pattern[:-1]))


@pytest.mark.parametrize("text", ["a", "table.load.votable", "x-samp.a_b.C-9", "0.1", "-._"])
def test_dot_separated_atoms_are_an_mtype(text: str) -> None:
    assert check_mtype(text) == text


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a b", "a/b", "a.*", "*", "é.a", "a\n", "٣"])
def test_anything_else_is_no_mtype(text: str) -> None:
    with pytest.raises(BadValue, match="not an MType"):
        check_mtype(text)


@pytest.mark.parametrize("text", ["a", "table.load.votable", "table.*", "table.load.*", "*"])
def test_a_pattern_is_an_mtype_or_ends_in_a_star_atom_or_is_a_star(text: str) -> None:
    assert check_pattern(text) == text


@pytest.mark.parametrize("text", ["", "a*", "*.a", "a.*.b", "**", ".*", "a.*.*", "a.*\n", "*a", "a..*", "* "])
def test_a_star_anywhere_else_is_an_error(text: str) -> None:
    with pytest.raises(BadValue, match="not a subscription"):
        check_pattern(text)


@pytest.mark.parametrize(
    ("pattern", "mtype", "expected"),
    [
        ("*", "a", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", True),
        ("a.*", "a", False),
        ("a.*", "ab.c", False),
        ("a.b", "a.b.c", False),
        ("a.b.c", "a.b", False),
        ("A.b", "a.b", False),
    ],
)
def test_a_wildcard_matches_everything_below_its_prefix_and_nothing_else(
    pattern: str, mtype: str, expected: bool
) -> None:
    assert matching([pattern], mtype) == (pattern if expected else None)


@given(st.sets(patterns, max_size=6), mtypes)
@tried(200)
def test_the_longest_matching_pattern_comes_first(subscriptions: set[str], mtype: str) -> None:
    fitting = [pattern for pattern in subscriptions if matches(pattern, mtype)]
    # `a.*` is longer than the `a.b` that it matches: an exact match wins whatever its length.
    best = mtype if mtype in fitting else max(fitting, key=len, default=None)
    assert next((pattern for pattern in candidates(mtype) if pattern in subscriptions), None) == best
    assert matching(subscriptions, mtype) == best


@pytest.mark.parametrize("check", [check_mtype, check_pattern])
def test_an_mtype_and_a_pattern_may_be_as_long_as_the_limit_and_no_longer(check: Callable[[str], str]) -> None:
    longest = "a." * (LONGEST // 2) + "a"
    assert len(check(longest)) == LONGEST
    with pytest.raises(BadValue, match="255 at most"):
        check(longest + "a")


@given(mtypes, patterns)
@tried(200)
def test_the_candidates_of_an_mtype_are_exactly_the_patterns_that_match_it(mtype: str, pattern: str) -> None:
    found = list(candidates(mtype))
    assert len(set(found)) == len(found)
    assert (pattern in found) is matches(pattern, mtype)


@pytest.mark.parametrize(
    ("name", "namesake"),
    [
        ("x-samp.app.ping", "samp.app.ping"),
        ("samp.app.ping", "samp.app.ping"),
        ("x-other.a", "x-other.a"),
        ("x-samp", "x-samp"),
    ],
)
def test_an_x_samp_name_has_a_samp_namesake(name: str, namesake: str) -> None:
    assert without_x(name) == namesake
