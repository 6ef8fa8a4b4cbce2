"""The one table of SAMP's methods: whoever has a method of theirs has it as the table says."""

import inspect

import pytest

from hubfarm.client.proxy import SAMPHubProxy
from hubfarm.hub.profiles.profile import SHARED
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.samp.methods import METHODS, STANDARD_METHODS, STRUCTURED, Caller, Kind
from hubfarm.samp.toolkit import ORIGINAL_NAMES
from tests.hub.test_standard_profile import Bench

SNAKE = {
    "setXmlrpcCallback": "set_xmlrpc_callback",
    "allowReverseCallbacks": "allow_reverse_callbacks",
    "pullCallbacks": "pull_callbacks",
} | ORIGINAL_NAMES


@pytest.mark.parametrize("name", STANDARD_METHODS)
def test_hub_has_a_strategy_for_every_method_and_the_client_a_method(name: str) -> None:
    profile = Bench().profile
    assert isinstance(profile, StandardProfile)
    assert name in {**SHARED, **profile.own_strategies()}
    method = getattr(SAMPHubProxy, SNAKE.get(name, name))
    assert len(inspect.signature(method).parameters) == 1 + len(STANDARD_METHODS[name].takes)


def test_nothing_is_done_for_a_method_that_is_not_in_the_table() -> None:
    assert set(SHARED) == set(METHODS)
    assert {**SHARED, **Bench().profile.own_strategies()}.keys() == STANDARD_METHODS.keys()


def test_clients_show_their_key_and_nobody_else_has_to() -> None:
    without = {name for name, method in STANDARD_METHODS.items() if "private-key" not in method.takes}
    assert without == {"ping", "register"}
    assert STANDARD_METHODS["ping"].caller is Caller.ANYBODY
    assert STANDARD_METHODS["register"].caller is Caller.NEWCOMER


def test_what_carries_a_message_or_response_to_others_for_good_is_kept() -> None:
    carrying = {name for name, method in METHODS.items() if {"message", "response"} & set(method.parameters)}
    assert {name for name, method in METHODS.items() if method.kept} == carrying - {"callAndWait"}
    assert {"message", "response"} <= STRUCTURED


def test_what_a_client_is_handed_has_its_key_first_and_its_content_last() -> None:
    assert [kind.takes for kind in Kind] == [
        ("private-key", "sender-id", "message"),
        ("private-key", "sender-id", "msg-id", "message"),
        ("private-key", "responder-id", "msg-tag", "response"),
    ]
    assert [kind.is_tagged for kind in Kind] == [False, True, True]
