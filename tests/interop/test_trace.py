"""What JSAMP's and astropy's programs say to each other, seen by who watches, and by none of them."""

import json
import subprocess
import sys
from typing import Any

import pytest

from hubfarm.farm import Farm
from tests.interop.conftest import OnHub, names_on
from tests.support import PATIENCE, message, need, need_module, running, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")]


def test_call_of_astropy_to_jsamp_is_traced_with_its_answer(
    farm: Farm, on_hub: OnHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("jsamp")
    samp: Any = need_module("astropy.samp")
    [hub] = farm.start(label="mine")
    on_hub("mine", "jsamp", "snooper", "-clientname", "JS", "-mtype", "my.call")
    wait_for(lambda: "JS" in names_on(hub), "JSAMP is there")
    words = [sys.executable, "-u", "-m", "hubfarm", "trace", "mine", "my.*", "--json", "--params", "--count", "3"]
    with running(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("watching ")
        monkeypatch.setenv("SAMP_HUB", hub.samp_hub)
        with samp.conf.set_temp("use_internet", False):
            client = samp.SAMPIntegratedClient("astropy")
            client.connect()
            try:
                others = {client.get_metadata(id).get("samp.name"): id for id in client.get_registered_clients()}
                assert set(others) == {"JS", f"Hub {hub.label}"} or "JS" in others
                answer = client.call_and_wait(others["JS"], message("my.call", text="größe <&>"), "10")
                client.notify_all(message("my.call", n="2"))
                with pytest.raises(samp.SAMPProxyError):
                    client.notify(others["JS"], message("my.other"))
                out, _ = process.communicate(timeout=PATIENCE)
            finally:
                client.disconnect()
    told = [json.loads(line) for line in out.splitlines()]
    sent = [line for line in told if line["event"] == "sent"]
    assert [(line["how"], line["mtype"]) for line in sent] == [
        ("callAndWait", "my.call"),
        ("notifyAll", "my.call"),
        ("notify", "my.other"),
    ]
    assert sent[0]["message"]["samp.params"] == {"text": "größe <&>"}
    assert [to["id"] for to in sent[1]["to"]] == [others["JS"]]
    assert "not subscribed" in sent[2]["refused"]
    [answered] = [line for line in told if line["event"] == "answered"]
    assert (answered["number"], answered["sender"], answered["response"]) == (sent[0]["number"], others["JS"], answer)
    assert {line["name"] for line in told if line["event"] == "came" and "name" in line} >= {"JS", "astropy"}
