"""What a hub says of a client no client can say of itself, nor under a name that looks like one of the hub's."""

import time

import pytest

from hubfarm.hub.said_by_hub import SAID, looks_like_ours, metadata_of
from hubfarm.samp.xmlrpc import EncodedMap
from hubfarm.spec.principal import ANYBODY, Principal

FULL_WIDTH = {ord(each): ord(each) + 0xFEE0 for each in "abcdefghijklmnopqrstuvwxyz."}

LOOK_ALIKE = [
    *sorted(SAID),
    "hubfarm.User",
    "HUBFARM.USER",
    " hubfarm.user ",
    "hubfarm.user\n",
    "hub farm.user",
    "hubfarm.us\u200ber",
    "hubfarm.user\ufeff",
    "\u202ehubfarm.user",
    "hubfarm.user\U000e0041",
    "hubfarm.user\u3164",
    "hubfarm.user".translate(FULL_WIDTH),
    "hubfarm\u2024user",
    "hubfarm.us\u00e9r",
    "hubfarm.use\u034fr",
    "hubf\u0430rm.us\u0435r",
    "hubfarm.gr\u03bfups",
    "hubfarm.u\u017fer",
    "\U0001d421\U0001d42e\U0001d41bfarm.user",
]

ORDINARY = [
    "samp.name",
    "hubfarm.command",
    "hubfarm.users",
    "author.user",
    "beschreibung.größe",
    "観測者の名前を書くところ",
    "hubfarm.usXr\u00e9",
    "x" * 100_000,
    "",
]


@pytest.mark.parametrize("name", LOOK_ALIKE, ids=ascii)
def test_name_that_people_take_for_the_hubs_is_left_out(name: str) -> None:
    assert looks_like_ours(name)
    declared = EncodedMap.of({"samp.name": "x", name: "root"})
    for who in (ANYBODY, Principal(user="luigi", groups=("mima",))):
        said = metadata_of(who, declared).decode()
        assert "root" not in said.values()
        assert said["samp.name"] == "x"


@pytest.mark.parametrize("name", ORDINARY, ids=lambda name: ascii(name[:30]))
def test_other_names_stay(name: str) -> None:
    assert not looks_like_ours(name)


def test_metadata_without_such_a_name_stay_as_they_were_encoded() -> None:
    declared = EncodedMap.of({"samp.name": "x", "größe": "1"})
    assert metadata_of(ANYBODY, declared) is declared


@pytest.mark.parametrize("piece", ["\u200b", "\u0301\u0316", "\ufdfa", "a\u0301"], ids=ascii)
def test_long_name_costs_no_more_than_its_length(piece: str) -> None:
    def best_of(name: str) -> float:
        times = []
        for _ in range(3):
            begun = time.thread_time()
            looks_like_ours(name)
            times.append(time.thread_time() - begun)
        return min(times)

    best_of(piece * 100)
    assert best_of(piece * 2**18) < 1.0  # a megabyte, the longest metadata; as the square it would take hours
