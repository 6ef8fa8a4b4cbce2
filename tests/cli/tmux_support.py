"""A terminal of so many columns and lines, by tmux: keys in, the screen out."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import need, wait_for


class Terminal:
    """A screen on which one command of hubfarm runs."""

    def __init__(self, directory: Path) -> None:
        self._tmux = [need("tmux"), "-S", str(directory / "tmux"), "-f", "/dev/null"]

    def run(self, *arguments: str, columns: int, lines: int) -> None:
        # Whoever imports readline has COLUMNS and LINES in its environment, of its own terminal or none.
        command = shlex.join(["env", "-u", "COLUMNS", "-u", "LINES", sys.executable, "-m", "hubfarm", *arguments])
        self._do("new-session", "-d", "-x", str(columns), "-y", str(lines), f"{command}; echo code $?; sleep 600")

    def _do(self, *arguments: str) -> str:
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, timeout=20)
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Type: names of keys, or text."""
        self._do("send-keys", *keys)

    @property
    def screen(self) -> list[str]:
        """Return what it shows."""
        return self._do("capture-pane", "-p").splitlines()

    def until(self, happened: Callable[[list[str]], object], what: str) -> list[str]:
        """Wait until the screen is so, and return it."""
        seen: list[str] = []

        def look() -> bool:
            seen[:] = self.screen
            return bool(happened(seen))

        try:
            wait_for(look, what)
        except BaseException:
            print("\n".join(seen))
            raise
        return seen

    def shows(self, text: str) -> list[str]:
        """Wait until a text is on the screen, and return all of it."""
        return self.until(lambda screen: any(text in line for line in screen), f"{text!r} is shown")

    def end(self) -> None:
        self._do("kill-server")


@contextmanager
def terminal(directory: Path, *arguments: str, columns: int = 80, lines: int = 24) -> Iterator[Terminal]:
    """Run a command of hubfarm on a terminal of its own."""
    one = Terminal(directory)
    one.run(*arguments, columns=columns, lines=lines)
    try:
        yield one
    finally:
        one.end()
