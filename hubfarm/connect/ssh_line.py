"""A line made of the standard streams of the system's ssh: keys, agents, jump hosts and known hosts are its own.

Nobody can be asked for a password here.  Where one is needed, the user has given it to an ssh before, in a terminal,
and that holds the connection: see `hubfarm.farm.connecting`.  It is used as long as it lives.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

from hubfarm.connect.asked import LONGEST_GREETING, MAGIC, Answer, Call, Fetch, Hello, answer_in, question_in, written
from hubfarm.connect.exchanges import SILENCE, Exchange, Exchanges, LineLost
from hubfarm.connect.files import Fetcher
from hubfarm.connect.line import Line, LineDown
from hubfarm.registry.connections import Kept
from hubfarm.samp.errors import HubfarmError
from hubfarm.spec.connection_spec import ConnectionSpec, ssh_address
from hubfarm.spec.ssh_command import ssh_command
from hubfarm.visible import brief

MADE_IN = 60.0
"""How long ssh may take until the far end speaks, seconds: jump hosts, slow name services."""

ENDS_IN = 2.0
"""How long it may take to end, seconds."""

UrlOf = Callable[[str], str | None]

_SAID = 2000
"""How much is kept of what it says, bytes."""


class SshLine(Line):
    """A line by ssh.

    Parameters
    ----------
    spec : ConnectionSpec
        Where to, and how.
    master : Path
        Where the ssh listens that the user has opened.
    kept : Kept
        What is known of earlier.
    url_of : callable
        Returns the URL that a token of this host's files stands for; see `hubfarm.connect.carried`.
    """

    def __init__(self, spec: ConnectionSpec, master: Path, kept: Kept, url_of: UrlOf) -> None:
        super().__init__(spec.label)
        address = ssh_address(spec.address)
        assert address is not None
        self._spec = spec
        self._address = address
        self._master = master
        self._kept = kept
        self._url_of = url_of
        self._fetcher = Fetcher()
        self._process: asyncio.subprocess.Process | None = None
        self._said = b""
        self._hearing: asyncio.Task[None] | None = None
        self._line: Exchanges | None = None
        self._running: asyncio.Task[None] | None = None
        self.names: list[str] = []
        """What the far host is called by its own programs."""

    async def make(self) -> None:
        command = ssh_command(self._spec, self._address, self._master)
        environment = os.environ | ({"SSH_AUTH_SOCK": self._spec.agent} if self._spec.agent else {})
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=2**20,
                env=environment,
                start_new_session=True,  # it has no terminal to ask at
            )
        except OSError as error:
            raise LineDown(f"cannot run {command[0]}: {error.strerror}") from None
        assert self._process.stderr is not None
        self._said = b""
        self._hearing = asyncio.create_task(self._hear(self._process.stderr))
        try:
            async with asyncio.timeout(MADE_IN):
                await self._greet(self._process)
        except TimeoutError:
            raise LineDown(f"ssh has not come to the far end within {MADE_IN:g} s{self._words()}") from None

    async def _greet(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        before = b""
        while MAGIC not in before:
            more = await process.stdout.read(2**16)
            if not more or len(before) > LONGEST_GREETING:
                raise LineDown(await self._why_not(process))
            before += more
        self._line = Exchanges(process.stdout, process.stdin, self._answer, first=True)
        self._running = asyncio.create_task(self._line.run(before.partition(MAGIC)[2]))
        exchange = self._line.ask()
        await exchange.say(written(Hello(file_port=self._kept.far_port, carry_files=self._spec.carry_files)))
        welcome = answer_in(await exchange.head())
        if welcome.trouble:
            raise LineDown(f"on {self._address.host}: {welcome.trouble}")
        self.secret, self.names, self._kept.far_port = welcome.secret, welcome.names, welcome.file_port

    async def stay(self) -> None:
        assert self._running is not None
        assert self._process is not None
        try:
            await asyncio.shield(self._running)
        except LineLost as error:
            raise LineLost(f"{error}{self._words()}") from None

    async def _hear(self, stderr: asyncio.StreamReader) -> None:
        while more := await stderr.read(2**12):
            self._said = (self._said + more)[-_SAID:]

    async def _why_not(self, process: asyncio.subprocess.Process) -> str:
        """Return why ssh has ended, as far as it says."""
        if self._hearing is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(ENDS_IN):
                    await self._hearing
                    await process.wait()
        match process.returncode:
            case 127:
                where = f"{self._spec.remote_hubfarm} on {self._address.host}"
                return f"there is no {where}: install it, or say where it is by --remote-hubfarm"
            case None:
                return f"what answers on {self._address.host} is no hubfarm{self._words()}"
        return f"ssh has ended{self._words() or f' with {process.returncode}'}"

    def _words(self) -> str:
        """Return the last line that ssh has said."""
        lines = [line for line in self._said.decode("utf-8", "replace").splitlines() if line.strip()]
        return f": {brief(lines[-1].strip(), 300)}" if lines else ""

    async def cut(self) -> None:
        if self._running is not None:
            silent = self._running.done() and f"for {SILENCE:g} s" in str(self._running.exception())
            self._running.cancel()
            with contextlib.suppress(asyncio.CancelledError, HubfarmError):
                await self._running
            self._running = self._line = None
            if silent:
                await self._end_master()
        if self._process is not None:
            await self._end(self._process)
            self._process = None
        if self._hearing is not None:
            self._hearing.cancel()
            self._hearing = None

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ENDS_IN):
                        await process.wait()

    async def _end_master(self) -> None:
        """End the user's ssh if it is there: over its connection nothing comes any more."""
        if self._master.exists():
            command = ssh_command(self._spec, self._address, self._master, control="exit")
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            await self._wait_or_kill(process)

    async def _wait_or_kill(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(ENDS_IN):
                await process.wait()
        except TimeoutError:
            await self._end(process)

    # ------------------------------------------------------------------ what goes over it

    async def pass_on(self, body: bytes, fields: bytes, seconds: float) -> bytes:
        if self._line is None:
            raise LineDown("the line was lost")
        exchange = self._line.ask()
        try:
            async with asyncio.timeout(seconds + SILENCE):
                await exchange.say(written(Call(fields=fields.decode("latin-1"), seconds=seconds)), body)
                answer = answer_in(await exchange.head())
                if answer.trouble:
                    raise LineDown(answer.trouble)
                return await exchange.whole()
        except TimeoutError:
            raise LineDown(f"no answer within {seconds:g} s") from None
        finally:
            exchange.cancel()

    async def fetch(self, fetch: Fetch) -> Exchange:
        if self._line is None or not self.up.is_set():
            raise LineDown(f"the hub {self.label} cannot be reached now: {self.trouble}")
        exchange = self._line.ask()
        await exchange.say(written(fetch))
        return exchange

    async def _answer(self, exchange: Exchange) -> None:
        """Read a file for a program of the far host."""
        asked = question_in(await exchange.head())
        url = self._url_of(asked.url) if isinstance(asked, Fetch) else None
        if url is None or not isinstance(asked, Fetch):
            await exchange.say(written(Answer(trouble="there is no such file here (any more)")))
            return
        await self._fetcher.answer(exchange, url, asked)

    async def close(self, *, for_good: bool) -> None:
        """Read no more files; if it is for good, the ssh that the user has opened ends too."""
        await self._fetcher.close()
        if for_good:
            await self._end_master()
