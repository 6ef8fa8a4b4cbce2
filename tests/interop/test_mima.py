"""The MIMA scene: two groups on one host, each on its own hub, and nobody in the other's session."""

from pathlib import Path

import pytest

from hubfarm.farm import Farm
from tests.interop.conftest import OnHub, names_on
from tests.support import Receiver, need, read_lock_file, wait_for

pytestmark = pytest.mark.interop


@pytest.fixture(autouse=True)
def two_groups(farm: Farm) -> Farm:
    """mima-1 and mima-2, vandels-1."""
    need("jsamp")
    farm.start(count=2, group="mima")
    farm.start(group="vandels")
    return farm


def test_a_snooper_sees_its_own_hubs_messages_and_none_of_anothers(
    farm: Farm, on_hub: OnHub, receiver: Receiver, home: Path
) -> None:
    def tell(hub: str, text: str) -> None:
        sender = on_hub(
            hub, "jsamp", "messagesender", "-mode", "notify", "-mtype", "scene.told", "-param", "text", text
        )
        output, _ = sender.communicate(timeout=60)
        assert sender.returncode == 0, output

    seen = home / "seen.txt"
    with seen.open("w") as file:
        on_hub("mima-1", "jsamp", "snooper", "-clientname", "snooper", "-mtype", "scene.told", stdout=file)
    tokens = read_lock_file(farm.find("vandels-1").lock_file)
    receiver.join(tokens["samp.hub.xmlrpc.url"], tokens["samp.secret"], "receiver", "scene.told")
    wait_for(lambda: "snooper" in names_on(farm.find("mima-1")), "the snooper is on its hub")

    tell("vandels-1", "for-vandels")
    assert receiver.next().params[2]["samp.params"] == {"text": "for-vandels"}  # it was sent, and has arrived there
    tell("mima-1", "for-mima")
    wait_for(lambda: "for-mima" in seen.read_text(), "the snooper sees the message sent to its hub")
    assert "for-vandels" not in seen.read_text()
    assert receiver.received.empty()


def test_an_unmodified_program_lands_on_the_hub_it_was_given(farm: Farm, on_hub: OnHub) -> None:
    hubs = farm.hubs()
    assert [hub.label for hub in hubs] == ["mima-1", "mima-2", "vandels-1"]
    for hub in hubs:
        on_hub(hub.label, "jsamp", "snooper", "-clientname", f"on-{hub.label}")
    for hub in hubs:
        wait_for(lambda hub=hub: names_on(hub) == [f"on-{hub.label}"], f"one program, its own, is on {hub.label}")
