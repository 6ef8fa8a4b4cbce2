"""Write the manual pages anew from the commands' help: ``python .ci/man_pages.py``; with ``--check``, compare only.

They are kept, not made when a wheel is built: to make them takes click-man and all that the commands import.
"""

import copy
import sys
import tempfile
from filecmp import dircmp
from inspect import cleandoc
from pathlib import Path

import click
from click_man.core import write_man_pages

from hubfarm.cli.main import hubfarm
from hubfarm.cli.samp_hub import samp_hub
from hubfarm.cli.sampy import sampy
from hubfarm.version import __version__

KEPT = Path(__file__).parent.parent / "man"
COMMANDS: dict[str, click.Command] = {"hubfarm": hubfarm, "samp_hub": samp_hub, "sampy.py": sampy}


def main() -> int:
    if sys.argv[1:] != ["--check"]:
        for old in KEPT.glob("*.1"):
            old.unlink()
        _write(KEPT)
        return 0
    with tempfile.TemporaryDirectory() as fresh:
        _write(Path(fresh))
        compared = dircmp(KEPT, fresh)
        stale = compared.left_only + compared.right_only + compared.diff_files
    if stale:
        print(f"not as the commands' help is: {', '.join(stale)}; run: python .ci/man_pages.py", file=sys.stderr)
    return bool(stale)


def _write(directory: Path) -> None:
    for name, command in COMMANDS.items():
        # No date: the pages are of a version, whenever they were written.
        write_man_pages(name, _for_man(command), version=__version__, target_dir=str(directory), date=" ")


def _for_man(command: click.Command) -> click.Command:
    """Return a command as click-man reads it: its own commands loaded, and its help as man's language has it."""
    readable = copy.copy(command)
    readable.help = "\n\n".join(map(_paragraph, cleandoc(command.help or "").split("\n\n")))
    readable.short_help = command.get_short_help_str(limit=200)
    if isinstance(command, click.Group):
        context = click.Context(command)
        inner = {name: command.get_command(context, name) for name in command.list_commands(context)}
        readable.commands = {name: _for_man(each) for name, each in inner.items() if each}
    return readable


def _paragraph(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    mark, _, lines = escaped.partition("\n")
    return f".nf\n{lines}\n.fi" if mark == "\b" else escaped  # click keeps such lines as they are


if __name__ == "__main__":
    sys.exit(main())
