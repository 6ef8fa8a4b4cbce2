"""SAMP's values: what a string, a number, a message and a response may be (SAMP 1.3, 3.3 to 3.9)."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm.samp import values
from hubfarm.samp.errors import BadValue
from hubfarm.samp.values import (
    check_map,
    check_message,
    check_response,
    check_string,
    check_value,
    error_response,
    expect_string,
    ok_response,
    parse_boolean,
    parse_float,
    parse_int,
    write_boolean,
)
from tests.strategies import samp_values, tried

ERROR = {"samp.errortxt": "went wrong"}


@pytest.mark.parametrize(
    "text", ["", "plain", "tab\tnewline\nreturn\r", " ~", "\x7f", "héllo ★", "\U0001f52d", "\ufffd"]
)
def test_any_character_that_xml_can_carry_may_stand_in_a_string(text: str) -> None:
    assert check_string(text) == text


@pytest.mark.parametrize("code", [0, 0x08, 0x0B, 0x0C, 0x0E, 0x1F, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF])
def test_a_character_that_xml_cannot_carry_is_refused_by_name(code: int) -> None:
    with pytest.raises(BadValue, match=rf"U\+{code:04X} \(at position 2\)"):
        check_string("ab" + chr(code))


@given(samp_values())
@tried(50)
def test_strings_lists_and_maps_of_them_are_values_and_stay_as_they_are(value: Any) -> None:
    before = copy.deepcopy(value)
    assert check_value(value) is value
    assert value == before


@pytest.mark.parametrize("wrong", [None, 1, 1.5, True, b"bytes", ("tuple",), {1: "a"}, {"a\0": "b"}, "\0"])
def test_anything_else_is_no_value_however_deep_it_lies(wrong: object) -> None:
    for value in (wrong, [wrong], {"a": ["b", {"c": wrong}]}):
        with pytest.raises(BadValue):
            check_value(value)


@pytest.mark.parametrize(("wrong", "name"), [("text", "string"), (["a"], "list")])
def test_what_must_be_a_map_is_named_in_the_error(wrong: Any, name: str) -> None:
    assert check_map({"a": "b"}, "metadata") == {"a": "b"}
    with pytest.raises(BadValue, match=f"metadata must be a map, not a {name}"):
        check_map(wrong, "metadata")


@pytest.mark.parametrize(("wrong", "name"), [({}, "map"), ([], "list")])
def test_what_must_be_a_string_is_named_in_the_error(wrong: Any, name: str) -> None:
    assert expect_string("a", "the key") == "a"
    with pytest.raises(BadValue, match=f"the key must be a string, not a {name}"):
        expect_string(wrong, "the key")


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("-7", -7), ("+007", 7), ("9" * 30, int("9" * 30))])
def test_a_samp_int_is_a_sign_and_digits(text: str, number: int) -> None:
    assert parse_int(text) == number


@pytest.mark.parametrize("text", ["", "-", "1.0", "1e3", "0x1", " 1", "1 ", "1\n", "1_000", "٣", "1" * 5000])
def test_anything_else_is_no_samp_int(text: str) -> None:
    with pytest.raises(BadValue, match="not a SAMP int"):
        parse_int(text)


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1.0), ("-1.5", -1.5), ("+.5", 0.5), ("2.", 2.0), ("2e-3", 0.002), ("1.5E+3", 1500.0)]
)
def test_a_samp_float_is_a_decimal_number_with_an_optional_exponent(text: str, number: float) -> None:
    assert parse_float(text) == number


@pytest.mark.parametrize(
    "text", ["", ".", "e3", "1e", "1e1.5", "nan", "inf", "-Infinity", "1,5", "0x1p3", " 1.0", "1_0", "٣"]
)
def test_anything_else_is_no_samp_float(text: str) -> None:
    with pytest.raises(BadValue, match="not a SAMP float"):
        parse_float(text)


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans())
@tried(50)
def test_numbers_written_by_python_read_the_same(integer: int, real: float, truth: bool) -> None:
    assert parse_int(str(integer)) == integer
    assert parse_float(repr(real)) == real
    assert parse_boolean(write_boolean(truth)) is truth


@pytest.mark.parametrize("text", ["", "2", "true", "True", "00", " 1"])
def test_a_samp_boolean_is_0_or_1_and_nothing_else(text: str) -> None:
    with pytest.raises(BadValue, match="not a SAMP boolean"):
        parse_boolean(text)


def test_a_message_may_hold_any_other_key() -> None:
    message: values.Map = {
        "samp.mtype": "a.b",
        "samp.params": {"x": "1"},
        "x-private": {"list": ["1"]},
        "samp.future": "",
    }
    assert check_message(copy.deepcopy(message)) == message


@pytest.mark.parametrize(
    "message",
    [
        "text",
        [],
        {},
        {"samp.params": {}},
        {"samp.mtype": ["a.b"], "samp.params": {}},
        {"samp.mtype": "a.b", "samp.params": ""},
        {"samp.mtype": "a.b", "samp.params": ["1"]},
    ],
)
def test_a_message_without_a_string_samp_mtype_and_a_map_samp_params_is_refused(message: Any) -> None:
    with pytest.raises(BadValue):
        check_message(message)


@pytest.mark.parametrize(
    "response",
    [
        {"samp.status": "samp.ok", "samp.result": {}},
        {"samp.status": "samp.ok", "samp.result": {"a": ["1"]}, "x-more": "kept"},
        {"samp.status": "samp.warning", "samp.result": {}, "samp.error": ERROR},
        {"samp.status": "samp.error", "samp.error": ERROR},
        {"samp.status": "samp.error", "samp.error": {**ERROR, "samp.code": "12", "samp.debugtxt": "trace"}},
    ],
)
def test_a_response_holds_what_its_status_needs_and_may_hold_more(response: Any) -> None:
    assert check_response(copy.deepcopy(response)) == response


@pytest.mark.parametrize(
    "response",
    [
        "samp.ok",
        {},
        {"samp.result": {}},
        {"samp.status": "ok"},
        {"samp.status": "ok", "samp.result": ""},
        {"samp.status": "ok", "samp.error": {}},
        {"samp.status": ["samp.ok"], "samp.result": {}},
        {"samp.status": "samp.ok"},
        {"samp.status": "samp.ok", "samp.result": "text"},
        {"samp.status": "samp.warning", "samp.result": {}},
        {"samp.status": "samp.warning", "samp.error": ERROR},
        {"samp.status": "samp.error", "samp.result": {}},
        {"samp.status": "samp.error", "samp.error": {}},
        {"samp.status": "samp.error", "samp.error": "text"},
        {"samp.status": "samp.error", "samp.error": {"samp.errortxt": ["text"]}},
    ],
)
def test_a_response_without_what_its_status_needs_is_refused(response: Any) -> None:
    with pytest.raises(BadValue):
        check_response(response)


def test_the_responses_that_we_make_are_responses() -> None:
    ok = {"samp.status": "samp.ok", "samp.result": {"a": "b"}}
    assert check_response(ok_response({"a": "b"})) == ok
    failed = {"samp.status": "samp.error", "samp.error": {"samp.errortxt": "gone"}}
    assert check_response(error_response("gone")) == failed


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1: "x"}, "the keys of a SAMP map are strings, not int: 1"),
        ([{"a": 1.5}], "SAMP knows strings, lists and maps only, not float: write 1.5 as a string"),
        (None, "SAMP knows strings, lists and maps only, not NoneType: write None as a string"),
    ],
)
def test_what_is_no_value_is_said_with_its_type(value: Any, said: str) -> None:
    with pytest.raises(BadValue) as refused:
        check_value(value)
    assert str(refused.value) == said


@pytest.mark.parametrize("parse", [parse_int, parse_float, parse_boolean])
def test_text_that_is_no_number_is_not_repeated_at_length(parse: Callable[[str], object]) -> None:
    with pytest.raises(BadValue) as refused:
        parse("x" * 100)
    assert str(refused.value).endswith(f": '{'x' * 40}'")


@pytest.mark.parametrize(
    ("check", "value", "said"),
    [
        (check_message, [], "a message"),
        (check_message, {}, "a message needs the key samp.mtype: it says what the message means"),
        (check_message, {"samp.mtype": []}, "samp.mtype"),
        (check_message, {"samp.mtype": "a", "samp.params": "x"}, "samp.params"),
        (check_response, [], "a response"),
        (check_response, {}, "a response needs samp.status: one of samp.ok, samp.warning, samp.error"),
        (
            check_response,
            {"samp.status": "samp.ok"},
            "a response with samp.status samp.ok needs the key samp.result: a",
        ),
        (
            check_response,
            {"samp.status": "x" * 99},
            f"a response with samp.status {'x' * 40} needs the key samp.result: a",
        ),
        (check_response, {"samp.status": "samp.ok", "samp.result": ""}, "samp.result"),
        (
            check_response,
            {"samp.status": "samp.error", "samp.error": {}},
            "samp.error needs the key samp.errortxt: a string that says what went wrong",
        ),
    ],
)
def test_what_is_no_message_or_response_is_refused_by_what_it_lacks(
    check: Callable[[Any], object], value: Any, said: str
) -> None:
    with pytest.raises(BadValue) as refused:
        check(value)
    assert str(refused.value).startswith(said)


def test_a_message_may_have_no_params() -> None:
    assert check_message({"samp.mtype": "a"}) == {"samp.mtype": "a"}


def test_a_number_may_be_as_long_as_the_limit_and_no_longer() -> None:
    longest = "1" * values.LONGEST_NUMBER
    assert parse_int(longest) == int(longest)
    assert parse_float(longest) == float(longest)
    for parse in (parse_int, parse_float):
        with pytest.raises(BadValue):
            parse(longest + "1")
