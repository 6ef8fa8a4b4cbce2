"""The far end of a line that ssh has brought here: what it is asked, it passes on to the hub of this host.

It keeps nothing: it may be killed, and the next one goes on.  Who is in, and what waits for whom, the hub knows.
"""

import asyncio
import os
import socket
import sys

from hubfarm.client.discovery import Choice
from hubfarm.connect.asked import MAGIC, Answer, Call, Fetch, Hello, question_in, written
from hubfarm.connect.exchanges import Exchange, Exchanges, LineLost
from hubfarm.connect.far_hub import FarHub
from hubfarm.connect.files import Fetcher, FileDoor
from hubfarm.samp.errors import HubfarmError
from hubfarm.samp.lockfile import SECRET
from hubfarm.version import __version__


class Agent:
    """Answers what the near end asks; in the running event loop.

    Parameters
    ----------
    label : str
        Which hub it asks for.
    """

    def __init__(self, label: str) -> None:
        self._hub = FarHub(Choice(label=label))
        self._fetcher = Fetcher()
        self._file_door = FileDoor(self._ask_for_file)
        self._line: Exchanges | None = None
        self._watching: asyncio.Task[None] | None = None

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the line is lost."""
        self._line = Exchanges(reader, writer, self._answer, first=False)
        writer.write(MAGIC)
        try:
            await self._line.run()
        except LineLost:
            pass  # the near end has hung up, or is out of reach: it comes again
        finally:
            if self._watching is not None:
                self._watching.cancel()
            self._hub.close()
            await self._file_door.close()
            await self._fetcher.close()

    async def _answer(self, exchange: Exchange) -> None:
        match question_in(await exchange.head()):
            case Hello() as hello:
                await exchange.say(written(await self._welcome(hello)))
            case Call() as call:
                body = await exchange.whole()
                try:
                    answer = await self._hub.call(body, call.fields.encode("latin-1"), call.seconds)
                except HubfarmError as error:
                    await exchange.say(written(Answer(trouble=str(error))))
                else:
                    await exchange.say(written(Answer()), answer)
            case Fetch() as fetch:
                await self._fetcher.answer(exchange, fetch.url, fetch)

    async def _welcome(self, hello: Hello) -> Answer:
        try:
            await self._hub.open()
            if hello.carry_files and not self._file_door.port:
                await self._file_door.start(hello.file_port)
        except HubfarmError as error:
            return Answer(trouble=str(error), release=__version__)
        if self._watching is None:
            self._watching = asyncio.create_task(self._hang_up_without_hub())
        name = socket.gethostname()
        return Answer(
            secret=self._hub.tokens[SECRET],
            release=__version__,
            names=sorted({name, name.partition(".")[0]}),
            file_port=self._file_door.port,
        )

    async def _hang_up_without_hub(self) -> None:
        """Hang up once the hub has ended: the near end looks for the next one."""
        await self._hub.has_ended()
        assert self._line is not None
        self._line.hang_up("the hub has ended")

    async def _ask_for_file(self, fetch: Fetch) -> Exchange:
        assert self._line is not None
        exchange = self._line.ask()
        await exchange.say(written(fetch))
        return exchange


async def _serve(label: str, stdin: int, stdout: int) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**20)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(stdin, "rb", 0))
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(stdout, "wb", 0))
    await Agent(label).run(reader, asyncio.StreamWriter(transport, protocol, None, loop))


def serve(label: str) -> None:
    """Answer what comes by the standard input, by the standard output."""
    stdin, stdout = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # nothing else is to be said there
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    sys.stdout.flush()
    asyncio.run(_serve(label, stdin, stdout))
