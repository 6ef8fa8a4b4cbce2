"""The floor for a hub that hands messages on: what comes is answered, and sent to one receiver as it is.

On uvloop and httptools as a hub of ours is, one connection to the receiver on which requests are sent ahead.  It looks
at nothing, keeps nothing, and waits for no answer; only while the receiver takes no more it reads no more.
"""

import asyncio
import sys
from typing import cast
from urllib.parse import urlsplit

import httptools
import uvloop

from benchmarks.empty_server import ANSWER


class _Receiver(asyncio.Protocol):
    """The connection to the receiver; what it answers is read and dropped."""

    def __init__(self) -> None:
        self.senders: set[asyncio.Transport] = set()

    def pause_writing(self) -> None:
        for sender in self.senders:
            sender.pause_reading()

    def resume_writing(self) -> None:
        for sender in self.senders:
            sender.resume_reading()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: _Receiver, out: asyncio.Transport, head: bytes) -> None:
        self._receiver = receiver
        self._out = out
        self._head = head
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._receiver.senders.add(self._transport)
        self._parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._receiver.senders.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body, self._body = self._body, []
        self._transport.write(ANSWER)
        self._out.writelines([self._head % sum(map(len, body)), *body])


async def _serve(receiver_url: str) -> None:
    url = urlsplit(receiver_url)
    loop = asyncio.get_running_loop()
    out, receiver = await loop.create_connection(_Receiver, url.hostname, url.port)
    head = b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: text/xml\r\nContent-Length: %%d\r\n\r\n"
    head %= (url.path.encode(), url.netloc.encode())
    server = await loop.create_server(lambda: _Connection(receiver, out, head), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
