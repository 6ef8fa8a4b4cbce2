"""What is fuzzed of the web's door and port: whatever stands in a request's line, header fields and body."""

import asyncio
import re
import time
from urllib.parse import unquote, urlsplit

from hubfarm.hub.core import Hub
from hubfarm.hub.delivery.deliveries import Deliveries
from hubfarm.hub.ledger import Ledger
from hubfarm.hub.profiles.front_door import FrontDoor
from hubfarm.hub.profiles.profile import Inside
from hubfarm.hub.profiles.standard import StandardProfile
from hubfarm.hub.profiles.waits import Waits
from hubfarm.hub.profiles.watching import WatchDoor
from hubfarm.hub.profiles.web import WebProfile
from hubfarm.hub.profiles.web_port import WebPort
from hubfarm.hub.watchers import Watchers
from hubfarm.samp.values import Value, check_value
from hubfarm.samp.xmlrpc import encode_value
from hubfarm.spec.limits import Limits
from hubfarm.spec.principal import Principal
from hubfarm.spec.watching import Hello
from hubfarm.wire.http_messages import Ends, Request, Response
from hubfarm.wire.web_door import door_credential

FITS = "file:///m31.fits"
"""The one URL that pages may read."""

_KEY = "page"
_DOOR = b"web " + door_credential("secret").encode()
_STATUS = {200, 403, 404, 413, 429, 502}


async def _nobody(identity: Value, client: tuple[str, int], origin: str) -> bool:
    return False


class _Doors:
    """A hub with one page, whose key is known, and all its doors."""

    def __init__(self) -> None:
        keys = iter([_KEY, *(f"key-{number}" for number in range(1000))])
        hub = self.hub = Hub({}, limits=Limits(), new_key=lambda: next(keys), now=0.0, ledger=Ledger(noting=True))
        hub.register(Principal(profile="web"), 0.0)
        hub.note_sent_to_page(encode_value(FITS))
        waits = Waits()
        deliveries = Deliveries(hub, waits.answer)
        inside = Inside(hub, deliveries, waits, "secret", time.monotonic)
        standard, web = StandardProfile(inside), WebProfile(inside)
        watchers = Watchers(hub, lambda: Hello(hub="h"), lambda: 1.0, lambda: None)
        watching = WatchDoor(watchers, standard, "secret")
        self.front = FrontDoor("h", standard.handle, standard.refusal_of, lambda host: True, web, watching)
        port = WebPort(inside, ask=_nobody, port=21012, is_ours=lambda host: host == b"ours")
        port._read_for_page = lambda url: Response(url.encode())  # type: ignore[method-assign]  # nothing is fetched
        self.port = port


async def _ask(data: bytes) -> None:
    method, target, origin, host, body, *_ = [*data.split(b"\n", 4), b"", b"", b"", b"", b""]
    ends = Ends("127.0.0.1", 4000, "127.0.0.1", 21012)
    fields = {b"x-hubfarm-origin": origin, b"origin": origin, b"access-control-request-method": b"POST"}
    for shown in {b"x-hubfarm-door": _DOOR}, {b"x-hubfarm-door": host}:
        doors = _Doors()
        answer = await _whole(doors.front.answer(Request(method, target, fields | shown, body, ends)))
        assert answer.status in _STATUS
        if shown[b"x-hubfarm-door"] != _DOOR:
            assert answer.status in (403, 429)
            assert len(doors.hub.clients) == 1
        if answer.body == b"it may be read\n":
            path = re.sub("/+", "/", unquote(unquote(target.decode("latin-1"))))  # however it is written
            assert urlsplit(FITS).path in path
        for client in doors.hub.clients:
            check_value(doors.hub.get_metadata(client.id).decode())
    doors = _Doors()
    answer = await _whole(doors.port.answer(Request(method, target, fields | {b"host": host}, body, ends)))
    assert answer.status in _STATUS
    assert b"\n" not in answer.fields.replace(b"\r\n", b"")
    assert host == b"ours" or answer.status == 403
    assert len(doors.hub.clients) <= 1  # the user lets nobody in


async def _whole(answer: "Response | asyncio.Future[Response]") -> Response:
    if isinstance(answer, Response):
        return answer
    _, waits = await asyncio.wait([answer], timeout=0)
    if not waits:
        return answer.result()
    answer.cancel()  # a call, or a pull
    return Response(b"")


_LOOP: list[asyncio.AbstractEventLoop] = []


def fuzz_pages(data: bytes) -> None:
    """Whatever a browser or a gateway sends gets an answer; nobody comes in unasked, and nothing else is read."""
    if not _LOOP:
        _LOOP.append(asyncio.new_event_loop())
    _LOOP[0].run_until_complete(_ask(data))


WEB_TARGETS = {"pages": fuzz_pages}
