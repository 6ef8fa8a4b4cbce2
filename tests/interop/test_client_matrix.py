"""The peers' clients as oracle: astropy's, pyvo's and ours each talk to astropy's, JSAMP's and our hub."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from hubfarm import Farm
from hubfarm.samp.lockfile import lock_url
from tests.client.client_support import Inbox
from tests.support import message, need, need_module, read_lock_file, serves, wait_for

pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")]

TEXT = "<&> \"'\n\ttwo lines"  # no more than ASCII: JSAMP's hub refuses the rest


@pytest.fixture(params=["hubfarm", "astropy.samp", "jsamp"])
def tokens(request: pytest.FixtureRequest, home: Path, farm: Farm) -> Iterator[dict[str, str]]:
    """The lock file's content of a hub of each make."""
    if request.param == "hubfarm":
        yield read_lock_file(farm.start()[0].lock_file)
        return
    if request.param == "jsamp":
        command = [need("jsamp"), "hub", "-mode", "no-gui", "-profiles", "std"]
    else:
        need_module("astropy.samp")
        program = (
            "import warnings; warnings.simplefilter('ignore'); from astropy.samp import SAMPHubServer, conf;"
            "conf.use_internet = False; SAMPHubServer(web_profile=False).start(wait=True)"
        )
        command = [sys.executable, "-c", program]
    lock_file = home / "peer"
    environment = os.environ | {"SAMP_HUB": lock_url(lock_file)}
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        wait_for(lambda: serves(lock_file), "the peer's hub runs")
        yield {key.replace("\\", ""): value.replace("\\", "") for key, value in read_lock_file(lock_file).items()}
        process.send_signal(signal.SIGKILL)


@pytest.fixture(params=["hubfarm", "astropy.samp", "pyvo.samp"])
def toolkit(request: pytest.FixtureRequest) -> Any:
    """A toolkit whose client talks."""
    module = need_module(request.param)
    if request.param != "hubfarm":
        module.conf.use_internet = False
    return import_module(request.param)


def test_every_client_does_the_same_on_every_hub(toolkit: Any, tokens: dict[str, str]) -> None:
    sender, receiver = toolkit.SAMPIntegratedClient("sender"), toolkit.SAMPIntegratedClient("receiver")
    notifications, responses = Inbox(), Inbox()

    def notified(key: str, sender_id: str, mtype: str, params: Any, extra: Any) -> None:
        notifications(sender_id, params)

    def called(key: str, sender_id: str, msg_id: str, mtype: str, params: Any, extra: Any) -> None:
        if params.get("fail"):
            receiver.ereply(msg_id, "samp.error", error={"samp.errortxt": "as asked"})
        else:
            receiver.ereply(msg_id, "samp.ok", result={"text": params["text"]})

    def answered(key: str, responder: str, tag: str, response: Any) -> None:
        responses(responder, tag, response["samp.status"])

    for _ in range(2):  # the second time after disconnecting
        sender.connect(hub_params=tokens)
        receiver.connect(hub_params=tokens)
        receiver.bind_receive_notification("my.text", notified)
        receiver.bind_receive_call("my.text", called)
        sender.bind_receive_response("tag", answered)
        one, two = sender.get_public_id(), receiver.get_public_id()

        assert sender.get_metadata(two)["samp.name"] == "receiver"
        assert two in sender.get_registered_clients()
        assert one not in sender.get_registered_clients()
        assert set(sender.get_subscribed_clients("my.text")) == {two}

        sender.notify(two, message("my.text", text=TEXT))
        assert notifications.next() == (one, {"text": TEXT})
        assert list(sender.notify_all(message("my.text", text="all"))) == [two]
        assert notifications.next() == (one, {"text": "all"})

        sender.call(two, "tag", message("my.text", text=TEXT))
        assert responses.next() == (two, "tag", "samp.ok")
        assert set(sender.call_all("tag", message("my.text", text=TEXT))) == {two}
        assert responses.next() == (two, "tag", "samp.ok")

        ok = sender.call_and_wait(two, message("my.text", text=TEXT), "10")
        assert ok["samp.result"] == {"text": TEXT}
        failed = sender.call_and_wait(two, message("my.text", fail="1"), "10")
        assert failed["samp.status"] == "samp.error"
        assert failed["samp.error"]["samp.errortxt"] == "as asked"
        with pytest.raises(toolkit.SAMPProxyError):
            sender.call_and_wait(two, message("my.unheard"), "10")

        receiver.disconnect()
        assert two not in sender.get_registered_clients()
        sender.disconnect()
        assert not sender.is_connected
