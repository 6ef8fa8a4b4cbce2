"""Web pages on a hub that is killed: they go on under their keys, get what was accepted, and read what they might."""

import hashlib
import hmac
import http.client
from typing import Any
from urllib.parse import quote, urlsplit
from xmlrpc.client import dumps, loads

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.stories.test_pulling_clients import fall
from tests.support import message, read_lock_file, wait_for

FITS, MADE_UP = "file:///data/m31.fits", "file:///etc/passwd"


class Gateway:
    """Brings pages to a hub, by what stands in its lock file."""

    def __init__(self, hub: HubInfo) -> None:
        tokens = read_lock_file(hub.lock_file)
        credential = hmac.new(tokens["samp.secret"].encode(), b"hubfarm web door", hashlib.sha256).hexdigest()
        self._fields = {"X-Hubfarm-Door": f"web {credential}", "X-Hubfarm-Origin": quote("https://a.example", safe="")}
        self._where = urlsplit(tokens["samp.hub.xmlrpc.url"]).netloc

    def ask(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._where, timeout=20)
        connection.request(method, target, body, self._fields)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content

    def call(self, method: str, *params: Any) -> Any:
        status, body = self.ask("POST", "/", dumps(params, f"samp.webhub.{method}").encode())
        assert status == 200
        return loads(body)[0][0]

    def may_read(self, key: str, url: str) -> bool:
        return self.ask("GET", f"/may-read?key={quote(key, safe='')}&url={quote(url, safe='')}")[0] == 200


def test_pages_go_on_over_a_kill_and_a_restart(farm: Farm) -> None:
    (hub,) = farm.start(label="h")
    gateway = Gateway(hub)
    pages = [gateway.call("register", {"samp.name": f"page {number}"}) for number in range(3)]
    keys, ids = [page["samp.private-key"] for page in pages], [page["samp.self-id"] for page in pages]
    for key in keys:
        gateway.call("allowReverseCallbacks", key, "1")
        gateway.call("declareSubscriptions", key, {"table.*": {}})
    with SAMPIntegratedClient("program") as program:
        program.connect(hub.lock_file)
        program.bind_receive_notification("table.*", lambda *_: None)
        gateway.call("notify", keys[0], program.get_public_id(), message("table.x", url=MADE_UP))
        for number in range(5):
            program.enotify(ids[0], "table.load.fits", n=str(number), url=FITS)
        for end in (lambda: fall(farm), lambda: farm.restart("h"), lambda: fall(farm)):
            end()
            assert set(program.get_registered_clients()) >= set(ids)
            assert gateway.may_read(keys[1], FITS)
            program.enotify(ids[1], "table.load.fits", url=MADE_UP)
            assert not gateway.may_read(keys[1], MADE_UP)
        assert program.get_metadata(ids[0]) == {"hubfarm.door": "web", "hubfarm.origin": "https://a.example"}
    pulled = gateway.call("pullCallbacks", keys[0], "10")
    assert [each["samp.params"][1]["samp.params"]["n"] for each in pulled] == [str(number) for number in range(5)]
    assert gateway.call("notifyAll", keys[2], message("table.load.fits")) == ids[:2]
    for key in keys:
        gateway.call("unregister", key)
    wait_for(lambda: farm.find("h").clients == 0, "nobody is registered any more")
