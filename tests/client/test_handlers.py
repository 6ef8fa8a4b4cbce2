"""Which function is called for which message, and what the sender is told: no hub, no socket."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from hubfarm.client.binding import ByDecorator, ByFunction
from hubfarm.client.calls import HubCalls, _apart, to_parameter, to_value, with_params
from hubfarm.client.credentials import Credentials
from hubfarm.client.errors import SAMPNothingBound
from hubfarm.client.handlers import (
    Binding,
    Bindings,
    Message,
    easy_message,
    matching,
    response_to,
    response_to_failure,
    takes_msg_id,
    variable_of,
)
from hubfarm.client.membership import called, described
from hubfarm.samp.errors import BadValue
from tests.support import message


def first(*_: Any) -> None: ...


def second(*_: Any) -> None: ...


# ---------------------------------------------------------------------- messages


def test_message_is_taken_apart() -> None:
    content = {**message("a.b", x="1"), "extra": {"y": "2"}}
    read = Message.read("c1", "m1", content)
    assert read == Message("c1", "m1", "a.b", {"x": "1"}, {"extra": {"y": "2"}})
    assert content == {**message("a.b", x="1"), "extra": {"y": "2"}}, "it is the caller's"
    assert Message.read("c1", None, {"samp.mtype": "a"}) == Message("c1", None, "a", {}, {})


@pytest.mark.parametrize("wrong", [{}, {"samp.mtype": []}, {"samp.mtype": "a", "samp.params": "x"}])
def test_what_is_no_message_is_refused(wrong: Any) -> None:
    with pytest.raises(BadValue):
        Message.read("c1", None, wrong)


def test_message_is_shown_in_one_line() -> None:
    assert repr(Message("c1", None, "a.b", {}, {})) == "<Message a.b from c1, notification: >"
    assert repr(Message("c1", "m1", "a.b", {"x": "1", "y": "2"}, {})) == "<Message a.b from c1, call m1: x, y>"
    long = repr(Message("c1", "m1", "a.b", {"x" * 500: "1"}, {}))
    assert (len(long), long[-2:]) == (len("<Message >") + 160, "…>")


def test_message_is_shown_as_a_table_of_what_there_is() -> None:
    row = "<tr><th>from</th><td>c1</td></tr>"
    assert Message("c1", None, "a.b", {}, {})._repr_html_() == f"<table><caption>a.b</caption>{row}</table>"
    shown = Message("c1", "m1", "a.b", {"x": "1"}, {"y": "2"})._repr_html_()
    assert row in shown
    for name, inner in (("parameters", "<tr><th>x</th><td>1</td></tr>"), ("more", "<tr><th>y</th><td>2</td></tr>")):
        assert f"<tr><th>{name}</th><td><table>{inner}</table></td></tr>" in shown
    assert "<tr><th>call</th><td>m1</td></tr>" in shown


# ---------------------------------------------------------------------- bindings


def test_function_is_bound_to_calls_or_notifications_or_both() -> None:
    bindings = Bindings()
    bindings.bind("a", first, None, replies=True)
    bindings.bind("b.*", first, {"x": 1}, calls=False, replies=False)
    bindings.bind("c", first, {"y": True}, notifications=False, replies=False)
    assert bindings.notifications == {"a": Binding(first, {}, True), "b.*": Binding(first, {"x": "1"}, False)}
    assert bindings.calls == {"a": Binding(first, {}, True), "c": Binding(first, {"y": "1"}, False)}
    bindings.declared = {"d": {}, "c": {"z": "0"}}
    assert bindings.subscriptions() == {"a": {}, "b.*": {"x": "1"}, "c": {"z": "0"}, "d": {}}
    bindings.bind("a", second, None, notifications=False, replies=True)
    assert (bindings.notifications["a"].function, bindings.calls["a"].function) == (first, second)


@pytest.mark.parametrize(
    ("mtype", "annotations", "said"), [("a*", None, "a*"), ("a", ["x"], "metadata must be a map, not a list")]
)
def test_what_is_no_pattern_or_annotation_is_bound_to_nothing(mtype: str, annotations: Any, said: str) -> None:
    bindings = Bindings()
    with pytest.raises(BadValue) as error:
        bindings.bind(mtype, first, annotations, replies=True)
    assert said in str(error.value)
    assert bindings == Bindings()


def test_most_specific_binding_comes_first() -> None:
    table = {pattern: Binding(first, {"by": pattern}, True) for pattern in ("*", "a.*", "a.b", "a.b.*", "b.*")}
    assert [each.annotations["by"] for each in matching(table, "a.b")] == ["a.b", "a.*", "*"]
    assert list(matching({}, "a.b")) == []


class OneClient(ByFunction, ByDecorator):
    """A client that counts what it declares."""

    def __init__(self) -> None:
        self.bindings = Bindings()
        self.declared = 0

    def _changeable(self) -> Bindings:
        return self.bindings

    def _declare_bound(self) -> None:
        self.declared += 1


def test_each_method_binds_its_kinds_and_declares_unless_told_not_to() -> None:
    one = OneClient()
    one.bind_receive_message("a", first, metadata={"x": "1"})
    one.bind_receive_notification("b", first, metadata={"y": "1"})
    one.bind_receive_call("c", first, metadata={"z": "1"})
    assert one.bindings.notifications == {
        "a": Binding(first, {"x": "1"}, False),
        "b": Binding(first, {"y": "1"}, False),
    }
    assert one.bindings.calls == {"a": Binding(first, {"x": "1"}, False), "c": Binding(first, {"z": "1"}, False)}
    assert one.declared == 3
    one.bind_receive_message("a", first, declare=False)
    one.bind_receive_notification("b", first, declare=False)
    one.bind_receive_call("c", first, declare=False)
    one.bind_receive_message("a", first, False)
    one.unbind_receive_notification("a", declare=False)
    one.unbind_receive_call("a", declare=False)
    one.bind_receive_response("tag", second)
    assert (one.declared, one.bindings.responses) == (3, {"tag": second})
    one.unbind_receive_notification("b")
    one.unbind_receive_call("c")
    one.unbind_receive_response("tag")
    assert (one.declared, one.bindings) == (5, Bindings())


def test_decorators_bind_and_return_the_function_itself() -> None:
    one = OneClient()
    assert one.on_call("a", {"x": "1"})(first) is first
    assert one.on_notification("b", {"y": "1"})(second) is second
    assert one.bindings.calls == {"a": Binding(first, {"x": "1"}, True)}
    assert one.bindings.notifications == {"a": Binding(first, {"x": "1"}, True), "b": Binding(second, {"y": "1"}, True)}


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("unbind_receive_notification", "nothing is bound to notifications of 'a'"),
        ("unbind_receive_call", "nothing is bound to calls of 'a'"),
        ("unbind_receive_response", "nothing is bound to responses under 'a'"),
    ],
)
def test_what_is_not_bound_cannot_be_taken_back(method: str, said: str) -> None:
    one = OneClient()
    with pytest.raises(SAMPNothingBound, match=rf"^{said}$"):
        getattr(one, method)("a")
    assert one.declared == 0


@pytest.mark.parametrize(
    ("function", "does"),
    [
        (lambda private_key, sender_id, mtype, params, extra: None, False),
        (lambda private_key, sender_id, msg_id, mtype, params, extra: None, True),
        (lambda *arguments: None, True),
        (lambda a, b, c, d, e, f, g: None, False),
        (max, True),  # its signature is not to be had
    ],
)
def test_notifications_function_may_have_a_place_for_the_msg_id(function: Any, does: bool) -> None:
    assert takes_msg_id(function) is does


# ---------------------------------------------------------------------- what the sender is told


def test_what_a_callback_returns_is_the_reply() -> None:
    assert response_to(None) == {"samp.status": "samp.ok", "samp.result": {}}
    assert response_to({"row": 7}) == {"samp.status": "samp.ok", "samp.result": {"row": "7"}}
    whole = {"samp.status": "samp.warning", "samp.result": {}, "samp.error": {"samp.errortxt": "careful"}}
    assert response_to(whole) == whole
    with pytest.raises(BadValue, match=r"^a callback returns a dict or None as its reply, not int$"):
        response_to(7)
    with pytest.raises(BadValue, match=r"needs the key samp.error"):
        response_to({"samp.status": "samp.warning", "samp.result": {}})


def test_what_a_callback_raises_is_the_reply_too_and_can_always_be_written() -> None:
    assert response_to_failure(KeyError("row")) == {
        "samp.status": "samp.error",
        "samp.error": {"samp.errortxt": "KeyError: 'row'"},
    }
    error = response_to_failure(ValueError("a\n\tb\x00\x1bc"))["samp.error"]
    assert error == {"samp.errortxt": "ValueError: a\n\tb\ufffd\ufffdc"}


def test_environment_variable_is_told_and_one_that_is_missing_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "")
    monkeypatch.delenv("NOT_HERE", raising=False)
    asked = [
        Message("c1", "m1", "client.env.get", params, {}) for params in ({"name": "HERE"}, {"name": "NOT_HERE"}, {})
    ]
    assert variable_of(asked[0]) == {"samp.status": "samp.ok", "samp.result": {"value": ""}}
    for each in asked[1:]:
        assert variable_of(each) == {
            "samp.status": "samp.warning",
            "samp.result": {"value": ""},
            "samp.error": {"samp.errortxt": "there is no environment variable of that name here"},
        }


def test_easy_message_has_its_keywords_as_parameters_and_the_rest_beside_them() -> None:
    params = {"txt": "begun", "extra_kws": {"my.key": "1"}}
    assert easy_message("a", params) == {"samp.mtype": "a", "samp.params": {"txt": "begun"}, "my.key": "1"}
    assert "extra_kws" in params, "it is the caller's"
    assert easy_message("a", {}) == {"samp.mtype": "a", "samp.params": {}}


# ---------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("given", "as_samp_has_it"),
    [
        (True, "1"),
        (False, "0"),
        (7, "7"),
        (1.5, "1.5"),
        (Fraction(1, 4), "0.25"),
        ((1, [2.0, "x"]), ["1", ["2.0", "x"]]),
        ({"a": {"b": (True,)}}, {"a": {"b": ["1"]}}),
        (None, None),
        (b"x", b"x"),
        (Decimal(1), Decimal(1)),
    ],
)
def test_numbers_and_truth_become_strings_and_what_samp_cannot_carry_stays(given: Any, as_samp_has_it: Any) -> None:
    assert to_value(given) == as_samp_has_it


def test_subclass_of_str_becomes_a_plain_one() -> None:
    class Name(str):
        __slots__ = ()

    assert type(to_value(Name("x"))) is str


def test_message_without_parameters_gets_empty_ones_and_nothing_else_does() -> None:
    assert with_params({"samp.mtype": "a"}) == message("a")
    assert with_params(message("a", x="1")) == message("a", x="1")
    assert with_params({"samp.status": "samp.ok"}) == {"samp.status": "samp.ok"}
    assert with_params("text") == "text"
    assert to_parameter("message", {"samp.mtype": "a"}) == message("a")
    assert to_parameter("response", {"samp.mtype": "a", "x": 1}) == {"samp.mtype": "a", "x": "1"}
    assert to_parameter("metadata", {"samp.mtype": "a", "x": 1}) == {"samp.mtype": "a", "x": "1"}


@pytest.mark.parametrize(
    ("url", "plain", "who"),
    [
        ("http://host:1/x", "http://host:1/x", None),
        ("http://host/a@b", "http://host/a@b", None),
        ("http://luigi@host:1", "http://host:1", Credentials("luigi")),
        ("http://luigi:a%3Ab@host/x", "http://host/x", Credentials("luigi", "a:b")),
        ("http://l%40x:p@q@host/x/y", "http://host/x/y", Credentials("l@x", "p@q")),
        ("http://luigi:@host/", "http://host/", Credentials("luigi", "")),
    ],
)
def test_user_and_password_of_a_url_are_taken_out_of_it(url: str, plain: str, who: Credentials | None) -> None:
    assert _apart(url) == (plain, who)


def test_client_is_described_and_called_by_what_is_known() -> None:
    assert described(None, None, None) == {}
    given = {"samp.name": "old", "x": 1}
    assert described("Imager", "shows", given) == {
        "samp.name": "Imager",
        "samp.description.text": "shows",
        "x": "1",
    }
    assert described("", None, given) == {"samp.name": "", "x": "1"}
    with pytest.raises(BadValue, match=r"^metadata must be a map, not a list$"):
        described(None, None, ["x"])  # type: ignore[arg-type]
    assert (called("TOPCAT", "c24"), called("", "c3")) == ("TOPCAT (c24)", "c3")


def test_hub_that_was_not_opened_is_nowhere() -> None:
    hub = HubCalls()
    assert (hub.is_open, hub.local_host, hub.tokens) == (False, "127.0.0.1", {})
    hub.close()
