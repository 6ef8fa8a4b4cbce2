"""The icons of proxies: the clients', with a corner cut off; what lies at their addresses may be anything."""

import asyncio
import io
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.request import urlopen

import pytest
from PIL import Image

from hubfarm.bridge.icons import LARGEST, Icons, cut
from tests.support import PATIENCE, in_a_loop


def picture(size: tuple[int, int], kind: str = "PNG") -> bytes:
    written = io.BytesIO()
    Image.new("RGB", size, (200, 0, 0)).save(written, kind)
    return written.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "GIF", "JPEG"])
def test_half_under_the_diagonal_is_cut_off(kind: str) -> None:
    with Image.open(io.BytesIO(cut(picture((24, 24), kind)))) as icon:
        assert icon.size == (24, 24)
        assert icon.getpixel((2, 2))[3] == 255  # type: ignore[index]
        assert icon.getpixel((22, 22))[3] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg onload='x()'/>",
        picture((24, 24))[:40],
        picture((LARGEST + 1, 1)),
        picture((24, 24), "BMP"),
        b"\x89PNG" * 99,
    ],
)
def test_what_is_no_icon_is_none(content: bytes) -> None:
    assert cut(content) == b""


@pytest.fixture
def address() -> Iterator[str]:
    """Where a client's icon lies."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = picture((24, 24)) if self.path == "/icon.png" else b"no picture"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@in_a_loop
async def test_proxy_has_its_own_icon_once_it_is_made(address: str) -> None:
    made = asyncio.Event()
    icons = Icons(made.set)
    said = {"samp.name": "DS9", "samp.icon.url": f"{address}/icon.png"}
    assert icons.marked(said, "127.0.0.1") == said
    await asyncio.wait_for(made.wait(), PATIENCE)
    url = str(icons.marked(said, "127.0.0.1")["samp.icon.url"])
    assert url != said["samp.icon.url"]
    with await asyncio.to_thread(urlopen, url, timeout=PATIENCE) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.read() == cut(picture((24, 24)))
    await icons.close()


@in_a_loop
async def test_what_lies_at_no_picture_stays_as_it_is_and_is_asked_for_once(address: str) -> None:
    icons = Icons(lambda: pytest.fail("there is nothing new"))
    for said in (
        {"samp.icon.url": f"{address}/x.png"},
        {"samp.icon.url": "file:///etc/passwd"},
        {"samp.name": "DS9"},
    ):
        assert icons.marked(said, "127.0.0.1") == said
        while icons._making:
            await asyncio.sleep(0.01)
        assert icons.marked(said, "127.0.0.1") == said
        assert not icons._making
    await icons.close()


@in_a_loop
async def test_what_a_web_page_names_of_this_host_is_not_asked_for(address: str) -> None:
    icons = Icons(lambda: pytest.fail("there is nothing new"))
    said = {"samp.icon.url": f"{address}/icon.png", "hubfarm.door": "web"}
    assert icons.marked(said, "127.0.0.1") == said
    while icons._making:
        await asyncio.sleep(0.01)
    assert icons.marked(said, "127.0.0.1") == said
    await icons.close()
