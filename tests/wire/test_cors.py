"""What browsers are told: by a table of what they ask."""

import pytest

from hubfarm.wire.cors import LONGEST_ORIGIN, origin_of, preflight, readable

ASKS = {"origin": "https://a.example:8080", "access-control-request-method": "POST"}


def test_preflight_is_answered_for_the_origin_that_asks_and_without_credentials() -> None:
    fields = dict(preflight(ASKS) or [])
    assert fields["Access-Control-Allow-Origin"] == "https://a.example:8080"
    assert "POST" in fields["Access-Control-Allow-Methods"]
    assert fields["Access-Control-Allow-Headers"] == "Content-Type"
    assert fields["Vary"] == "Origin"
    assert not {name for name in fields if "Credentials" in name or "Private" in name}


def test_private_network_is_allowed_to_who_asks_for_it_alone() -> None:
    asks = ASKS | {"access-control-request-private-network": "true"}
    assert ("Access-Control-Allow-Private-Network", "true") in (preflight(asks) or [])
    asks["access-control-request-private-network"] = "perhaps"
    assert "Access-Control-Allow-Private-Network" not in dict(preflight(asks) or [])


@pytest.mark.parametrize("missing", ASKS)
def test_request_without_one_of_the_two_is_no_preflight(missing: str) -> None:
    assert preflight({name: value for name, value in ASKS.items() if name != missing}) is None


@pytest.mark.parametrize(
    "origin",
    ["", " ", "a.example", "//a.example", "https://", "https://a.example b", "https://a\r\nX: y", "https://a.\xe9",
     "https://" + "a" * LONGEST_ORIGIN, "https://a, https://b", "Null", "nul"],
)  # fmt: skip
def test_what_no_browser_calls_an_origin_may_read_nothing(origin: str) -> None:
    assert origin_of({"origin": origin}) == ""
    assert readable({"origin": origin}) == []
    assert preflight(ASKS | {"origin": origin}) == []


@pytest.mark.parametrize("origin", ["null", "http://localhost:8888", "moz-extension://ab-12", "https://[::1]:1"])
def test_every_origin_may_read_its_answer(origin: str) -> None:
    assert readable({"origin": origin}) == [("Access-Control-Allow-Origin", origin), ("Vary", "Origin")]
