"""Hypothesis strategies for what SAMP knows: strings, values, MTypes, patterns; and how many examples are tried."""

from typing import Any

from hypothesis import Phase, settings
from hypothesis import strategies as st

from tests.mutation import FAULTS_ARE_TRIED, FEW

if FAULTS_ARE_TRIED:  # the same examples for each fault, and no time spent on saying nicely what failed
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("faults", max_examples=FEW, deadline=None, database=None, derandomize=True, phases=phases)
    settings.load_profile("faults")


def tried(times: int, **more: Any) -> settings:
    """Try a test on so many examples, however long one takes; on few where faults are tried."""
    return settings(max_examples=min(times, FEW) if FAULTS_ARE_TRIED else times, deadline=None, **more)


samp_strings = st.text(
    st.one_of(
        st.sampled_from("\t\n\r &<>]\"'"),
        st.characters(min_codepoint=32, exclude_categories=["Cs"], exclude_characters="\ufffe\uffff"),
    ),
    max_size=20,
)
"""Strings that XML 1.0 can carry, rich in the characters that it treats in a way of its own."""


def samp_values(leaves: st.SearchStrategy[Any] = samp_strings) -> st.SearchStrategy[Any]:
    """Values: strings (or `leaves`), lists and maps of them."""
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(samp_strings, inner, max_size=4),
        max_leaves=12,
    )


atoms = st.text("ABab019_-", min_size=1, max_size=3)
mtypes = st.lists(atoms, min_size=1, max_size=4).map(".".join)
patterns = st.one_of(mtypes, mtypes.map(lambda mtype: f"{mtype}.*"), st.just("*"))
