"""The switches for old programs: off, ours is what new ones want; on, theirs is as it was."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubfarm import (
    SAMP_HUB_MULTIPLE_INSTANCE,
    AsyncClient,
    Message,
    SAMPClientError,
    SAMPHubError,
    SAMPHubServer,
    SAMPIntegratedClient,
    SAMPMsgReplierWrapper,
    SAMPWarning,
)
from hubfarm.client.calls import to_value
from hubfarm.client.typed import NOTE, noted, restored
from hubfarm.samp.lockfile import lock_url
from hubfarm.switches import SWITCHES, VARIABLE, conf
from tests.client.client_support import Inbox, hub, pair
from tests.support import PATIENCE, ROOT, message, read_lock_file

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]
TurnOn = Callable[[str], None]


@pytest.fixture
def turn_on(monkeypatch: pytest.MonkeyPatch) -> TurnOn:
    """Turn a switch on for this test."""
    return lambda name: monkeypatch.setattr(conf, name, True)


# ---------------------------------------------------------------------- numbers


NUMBERS = {"row": 7, "value": 1.5, "flag": True, "rows": [1, 2], "mixed": [1, "2", {"deep": 3}], "text": "7"}
AS_STRINGS = {"row": "7", "value": "1.5", "flag": "1", "rows": ["1", "2"], "mixed": ["1", "2", {"deep": "3"}]}


def test_numbers_arrive_as_numbers(pair: Pair, turn_on: TurnOn) -> None:
    turn_on("numbers")
    one, two = pair
    heard, responses = Inbox(), Inbox()
    two.bind_receive_notification("my.notification", heard)
    two.bind_receive_call("my.call", lambda key, sender, msg_id, *rest: two.ereply(msg_id, "samp.ok", {"x": 1.5}))
    two.on_call("my.decorated")(lambda heard: {"twice": 2 * heard.params["x"]})
    one.bind_receive_response("tag", lambda key, responder, tag, response: responses(response))

    one.enotify_all("my.notification", **NUMBERS)
    *_, params, extra = heard.next()
    assert (params, extra) == (NUMBERS, {})
    assert type(params["flag"]) is bool
    two_id = two.get_public_id()
    assert one.ecall_and_wait(two_id, "my.call", 10) == {"samp.status": "samp.ok", "samp.result": {"x": 1.5}}
    assert one.ecall_and_wait(two_id, "my.decorated", 10, x=21)["samp.result"] == {"twice": 42}
    one.ecall(two_id, "tag", "my.call")
    assert responses.next() == ({"samp.status": "samp.ok", "samp.result": {"x": 1.5}},)


def test_who_has_it_off_gets_samps_strings_and_passes_over_the_note(pair: Pair, turn_on: TurnOn) -> None:
    one, two = pair
    raw = Inbox()
    two.client.receive_notification = lambda key, sender, content: raw(content) or ""  # type: ignore[method-assign]
    two.bind_receive_notification("my.notification", lambda *_: None)
    turn_on("numbers")
    one.enotify_all("my.notification", **NUMBERS)
    (content,) = raw.next()
    assert content["samp.params"] == AS_STRINGS | {"text": "7"}
    assert "text" not in content[NOTE]["samp.params"]


def test_numbers_arrive_at_asyncio_clients_too(hub: SAMPHubServer, turn_on: TurnOn) -> None:
    turn_on("numbers")

    async def main() -> tuple[Any, Any]:
        heard: asyncio.Queue[Message] = asyncio.Queue()
        answers: asyncio.Queue[Any] = asyncio.Queue()
        two = AsyncClient("two", hub=hub)

        @two.on_call("my.call")
        def called(message: Message) -> dict[str, object]:
            heard.put_nowait(message)
            return {"x": 1.5}

        async with two, AsyncClient("one", hub=hub) as one:
            one.on_response("tag")(lambda responder, response: answers.put_nowait(response))
            await one.ecall(str(two.id), "tag", "my.call", row=7)
            return (await heard.get()).params, (await answers.get())["samp.result"]

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == ({"row": 7}, {"x": 1.5})


plain = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"))
values = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False) | plain,
    lambda inner: st.lists(inner) | st.dictionaries(plain, inner),
)


@given(st.dictionaries(plain.filter(lambda key: key != NOTE), values))
def test_whatever_is_sent_is_what_is_read(params: dict[str, Any]) -> None:
    with conf.set_temp("numbers", True):
        sent = message("my.mtype", **{"all": params})
        assert restored(to_value(noted(sent))) == sent  # type: ignore[arg-type]


@given(values, values)
def test_a_note_that_does_not_fit_changes_no_more_than_numbers_and_raises_nothing(value: Any, note: Any) -> None:
    with conf.set_temp("numbers", True):
        content: Any = to_value({"samp.mtype": "my.mtype", "samp.params": value, NOTE: {"samp.params": note}})
        read = restored(content)
        assert NOTE not in read
        assert read["samp.mtype"] == "my.mtype"
        restored(content | {NOTE: to_value(note)})


# ---------------------------------------------------------------------- hubs


@pytest.fixture
def single(home: Path) -> Iterator[SAMPHubServer]:
    """The desktop's one hub."""
    with SAMPHubServer() as one:
        yield one


def test_a_second_hub_warns_and_runs_beside_the_first(single: SAMPHubServer, home: Path, turn_on: TurnOn) -> None:
    second = SAMPHubServer()
    with pytest.raises(SAMPHubError, match="runs already"):
        second.start()
    turn_on("second_hub")
    with pytest.warns(SAMPWarning, match="programs will find that one") as caught:
        second.start()
    assert caught[0].filename == __file__
    assert read_lock_file(home / ".samp") == single.params
    with SAMPIntegratedClient("one") as client:
        client.connect(second)
        assert client.hub.lockfile == second.params
    second.stop()


def test_multiple_mode_takes_the_lock_file_of_samp_hub(
    home: Path, turn_on: TurnOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMP_HUB", lock_url(home / "named"))
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE):
        assert not (home / "named").exists()
    turn_on("samp_hub_first")
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE):
        assert (home / "named").exists()
    monkeypatch.delenv("SAMP_HUB")
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE) as hub:
        assert (home / ".samp-1" / f"samp-hub-{hub.id}").exists()


# ---------------------------------------------------------------------- clients


def test_connect_when_connected_leaves_the_hub_first(pair: Pair, hub: SAMPHubServer, turn_on: TurnOn) -> None:
    one, two = pair
    before = one.get_public_id()
    with pytest.raises(SAMPClientError, match="connected already"):
        one.connect(hub)
    turn_on("connect_again")
    one.connect(hub)
    clients = two.get_registered_clients()
    assert one.get_public_id() in clients
    assert before not in clients


def test_a_wrapped_function_that_returns_nothing_replies_later(pair: Pair, turn_on: TurnOn) -> None:
    one, two = pair
    asked = Inbox()

    @SAMPMsgReplierWrapper(two)
    def later(private_key: str, sender: str, msg_id: str, mtype: str, params: Any, extra: Any) -> None:
        asked(msg_id)

    two.bind_receive_call("my.question", later)
    assert one.ecall_and_wait(two.get_public_id(), "my.question", 10)["samp.result"] == {}
    turn_on("silent_replier")
    asked.next()
    answers = Inbox()
    one.bind_receive_response("tag", lambda key, responder, tag, response: answers(response["samp.result"]))
    one.ecall(two.get_public_id(), "tag", "my.question")
    (msg_id,) = asked.next()
    two.ereply(msg_id, "samp.ok", {"answer": "42"})
    assert answers.next() == ({"answer": "42"},)


def test_a_message_to_all_that_nobody_hears_warns(pair: Pair, turn_on: TurnOn, recwarn: Any) -> None:
    one, two = pair
    one.enotify_all("my.notification")
    assert not recwarn.list
    turn_on("warn_unheard")
    with pytest.warns(SAMPWarning, match="nobody is subscribed to my.notification"):
        one.notify_all(message("my.notification"))
    with pytest.warns(SAMPWarning, match="nobody is subscribed"):
        one.hub.notify_all(str(one.get_private_key()), message("my.notification"))
    two.bind_receive_notification("my.notification", lambda *_: None)
    one.notify_all(message("my.notification"))
    assert not recwarn.list


def test_environment_variables_are_told_on_request(
    hub: SAMPHubServer, pair: Pair, turn_on: TurnOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_VARIABLE", "its value")
    asker, other = pair
    assert "client.env.get" not in asker.get_subscriptions(other.get_public_id())
    turn_on("env_get")
    with SAMPIntegratedClient("talkative") as talkative:
        talkative.connect(hub)
        target = talkative.get_public_id()
        assert asker.ecall_and_wait(target, "client.env.get", 10, name="MY_VARIABLE")["samp.result"] == {
            "value": "its value"
        }
        answer = asker.ecall_and_wait(target, "client.env.get", 10, name="MY_OTHER_VARIABLE")
        assert (answer["samp.status"], answer["samp.result"]) == ("samp.warning", {"value": ""})


# ---------------------------------------------------------------------- turning them


@pytest.mark.parametrize(
    ("value", "on"),
    [
        ("", ()),
        ("numbers, connect_again", ("numbers", "connect_again")),
        ("second_hub numbers", ("numbers", "second_hub")),
        ("all", SWITCHES),
    ],
)
def test_a_variable_turns_switches_on(monkeypatch: pytest.MonkeyPatch, value: str, on: tuple[str, ...]) -> None:
    monkeypatch.setenv(VARIABLE, value)
    program = "from hubfarm.switches import SWITCHES, conf; print([name for name in SWITCHES if getattr(conf, name)])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(list(on))


def test_a_switch_that_there_is_none_of_is_an_error_that_lists_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nonsense")
    done = subprocess.run([sys.executable, "-c", "import hubfarm.switches"], capture_output=True, text=True)
    assert "there is no switch 'nonsense': there are numbers, second_hub," in done.stderr
    with pytest.raises(AttributeError):
        conf.nonsense = True  # type: ignore[attr-defined]


def test_every_switch_is_described_for_users() -> None:
    described = (ROOT / "docs" / "clients.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .+ \|$", described[described.index("### Switches") :], re.MULTILINE)
    assert tuple(rows[: len(SWITCHES)]) == SWITCHES
