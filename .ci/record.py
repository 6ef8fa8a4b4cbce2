"""Record the first ten minutes with hubfarm as a picture: ``python .ci/record.py [docs/first-ten-minutes.svg]``.

The commands are typed in a shell on a terminal, in a home of their own, as a reader would type them; what is to be seen
is theirs.  It takes JSAMP, whose client comes to a hub.
"""

import os
import re
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import pexpect
from rich.console import Console
from rich.text import Text

COLUMNS = 96
PROMPT = "$ "
COMMANDS = (
    "hubfarm start --count 3 --group mima",
    "hubfarm exec mima-2 -- jsamp snooper >/dev/null 2>&1 &  # TOPCAT, DS9, Aladin: any program",
    "hubfarm clients mima-2",
    "hubfarm send mima-2 coord.pointAt.sky ra=10.68 dec=41.27",
    "kill -9 $(hubfarm ls --label mima-2 --format '{pid}')  # a hub dies …",
    "hubfarm ls --columns id,label,state,clients,restarts,url  # … and is back, with its client",
    "hubfarm status mima-2",
    "hubfarm stop --all --coordinator --yes",
)
WAIT_BEFORE = {"hubfarm clients": 5.0, "hubfarm ls": 2.0}
"""Until JSAMP is there, and until the hub has come back, seconds."""


def main() -> None:
    target = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent / "docs" / "first-ten-minutes.svg")
    with tempfile.TemporaryDirectory(prefix="hf-", dir="/tmp") as home:
        shown = _type_all(home)
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    console.print(Text.from_ansi(shown), end="")
    svg = console.export_svg(title="hubfarm", unique_id="hubfarm")
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)  # no reader's browser is sent elsewhere
    target.write_text(svg.replace("Fira Code", "monospace"))


def _type_all(home: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HUBFARM_", "SAMP_HUB", "XDG_"))}
    kept |= {
        "HOME": home,
        "PS1": "[end]",
        "TERM": "xterm-256color",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    bash = pexpect.spawn(
        shutil.which("bash") or "bash",
        ["--norc", "--noprofile"],
        env=kept,
        cwd=home,
        dimensions=(60, COLUMNS),
        encoding="utf-8",
        timeout=60,
        echo=False,
    )
    bash.expect_exact("[end]")
    bash.sendline("set +m; bind 'set enable-bracketed-paste off'")
    bash.expect_exact("[end]")
    seen = []
    try:
        for command in COMMANDS:
            time.sleep(next((wait for start, wait in WAIT_BEFORE.items() if command.startswith(start)), 0.0))
            bash.sendline(command)
            bash.expect_exact("[end]")
            output = bash.before.replace("\r", "").removeprefix(command + "\n")
            seen.append(f"\x1b[1m{PROMPT}{command}\x1b[0m\n{_as_it_stays(output)}")
    finally:
        bash.sendline("hubfarm stop --all --coordinator --yes; kill %1; exit")
        bash.expect(pexpect.EOF)
    return re.sub(
        rf"\b{re.escape(socket.gethostname())}\b", "observatory", "\n".join(seen).replace(home, "/home/luigi")
    )


def _as_it_stays(output: str) -> str:
    """Leave out bars that are gone once they are full, and what bash says of a job in the background."""
    output = output[output.rfind("\x1b[2K") + 4 :] if "\x1b[2K" in output else output
    return re.sub(r"^\[[0-9]+\] [0-9]+\n", "", output, flags=re.MULTILINE)


if __name__ == "__main__":
    main()
