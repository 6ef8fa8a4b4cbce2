"""Which clients are bridges', what their proxies say, and which of two bridges has a client's proxy."""

import pytest

from hubfarm.bridge.marks import BY, HUB, JSAMP_SOURCE, OF, has_rival, is_of_a_bridge, proxy_metadata
from hubfarm.samp.values import Map

TOPCAT: Map = {"samp.name": "TOPCAT", "author.name": "Mark Taylor", "samp.icon.url": "http://127.0.0.1:1/tc.gif"}
OF_C1 = "2f/c1"


def jsamps(metadata: Map) -> Map:
    """Return what JSAMP's bridge says of a client's proxy."""
    return metadata | {
        "samp.name": f"{metadata['samp.name']} (proxy)",
        "samp.icon.url": "http://127.0.0.1:2/proxy.png",
        JSAMP_SOURCE: "standard",
    }


@pytest.mark.parametrize(
    "metadata",
    [
        proxy_metadata(TOPCAT, "b", OF_C1, "7"),
        proxy_metadata({}, "b", OF_C1, "7"),
        jsamps(TOPCAT),
        {"samp.name": "hubfarm bridge", HUB: "2f", BY: "7"},
        {"samp.name": "bridge", "samp.description.text": "Bridge between hubs"},
    ],
)
def test_bridges_and_their_proxies_are_known(metadata: Map) -> None:
    assert is_of_a_bridge(metadata)


@pytest.mark.parametrize("metadata", [TOPCAT, {}, {"samp.name": "bridge"}])
def test_real_clients_are_none(metadata: Map) -> None:
    assert not is_of_a_bridge(metadata)


def test_proxy_is_called_as_its_client_and_says_where_that_is() -> None:
    said = proxy_metadata(TOPCAT, "mima-1", OF_C1, "7")
    assert said == TOPCAT | {"samp.name": "TOPCAT (mima-1)", JSAMP_SOURCE: "mima-1", OF: OF_C1, BY: "7"}
    assert proxy_metadata({}, "mima-1", OF_C1, "7")["samp.name"] == "(mima-1)"


@pytest.mark.parametrize(
    ("away", "has"),
    [
        ({}, False),
        ({"c7": TOPCAT}, False),
        ({"c7": proxy_metadata(TOPCAT, "a", OF_C1, "1")}, True),  # of an older bridge
        ({"c7": proxy_metadata(TOPCAT, "a", OF_C1, "3")}, False),  # of a younger
        ({"c7": proxy_metadata(TOPCAT, "a", "2f/c2", "1")}, False),  # for another client
        ({"c7": jsamps(TOPCAT)}, True),
        ({"c7": jsamps(TOPCAT | {"author.name": "Somebody"})}, False),
        ({"c7": jsamps(proxy_metadata(TOPCAT, "a", OF_C1, "1"))}, False),  # JSAMP's proxy of a proxy
        ({"c7": jsamps(TOPCAT | {"hubfarm.user": "luigi"})}, True),  # what a hub says of it is no difference
    ],
)
def test_older_bridge_and_jsamps_go_before(away: dict[str, Map], has: bool) -> None:
    assert has_rival("c1", {"c1": TOPCAT}, OF_C1, "2", away.values()) is has


def test_of_two_that_look_the_same_each_proxy_of_jsamps_stands_for_one() -> None:
    twins = {"c1": TOPCAT, "c2": TOPCAT | {"samp.icon.url": "http://127.0.0.1:9/x.gif"}}
    one, two = [jsamps(TOPCAT)], [jsamps(TOPCAT), jsamps(TOPCAT)]
    assert [has_rival(id, twins, f"2f/{id}", "2", one) for id in twins] == [True, False]
    assert [has_rival(id, twins, f"2f/{id}", "2", two) for id in twins] == [True, True]
