"""A client that answers every call at once: ``python -m benchmarks.replier`` prints its port, reads hub and key.

One line of JSON on its standard input names the hub's URL and the client's private key.
"""

import asyncio
import json
import re
import sys
from xmlrpc.client import dumps

import uvloop

from hubfarm.wire.http_client import HttpClient, HttpError
from hubfarm.wire.http_connection import HttpLimits
from hubfarm.wire.http_messages import Request, Response
from hubfarm.wire.http_server import HttpServer
from hubfarm.wire.sockets import bind

_PARAMETERS = re.compile(rb"<param>\s*<value>(?:\s*<string>)?([^<]*)<")
_TAKEN = Response(
    b"<?xml version='1.0'?>\n<methodResponse><params><param><value><string></string></value></param></params>"
    b"</methodResponse>\n"
)


class _Replier:
    def __init__(self) -> None:
        self._idle: list[HttpClient] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._url, self._key = "", ""

    def join(self, line: str) -> None:
        hub = json.loads(line)
        self._url, self._key = hub["url"], hub["key"]
        self._reply = dumps((self._key, "MSG-ID", {"samp.status": "samp.ok", "samp.result": {}}), "samp.hub.reply")
        print("ready", flush=True)

    def take(self, request: Request) -> Response:
        if b"receiveCall" in request.body[:200]:
            msg_id = _PARAMETERS.findall(request.body)[2].decode()
            task = asyncio.get_running_loop().create_task(self._answer(msg_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return _TAKEN

    async def _answer(self, msg_id: str) -> None:
        client = self._idle.pop() if self._idle else HttpClient(self._url)
        try:
            await client.post(self._reply.replace("MSG-ID", msg_id).encode(), timeout=20)
            self._idle.append(client)
        except HttpError as error:
            print(f"replier: {error}", file=sys.stderr)


async def _main() -> None:
    replier = _Replier()
    loop = asyncio.get_running_loop()
    sock = bind("127.0.0.1", 0)
    server = HttpServer(replier.take, HttpLimits(), lambda error: print(f"replier: {error!r}", file=sys.stderr))
    await server.start(sock)
    print(sock.getsockname()[1], flush=True)
    replier.join(await loop.run_in_executor(None, sys.stdin.readline))
    await loop.create_future()


if __name__ == "__main__":
    uvloop.run(_main())
