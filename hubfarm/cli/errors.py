"""How commands end: one line and an exit code, never a traceback.

Exit codes: 0 done; 1 what was asked for failed; 2 wrong use; 130 interrupted.
"""

import io
import os
import signal
import sys
from collections.abc import Callable

import click

from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.visible import visible

DEBUG_VARIABLE = "HUBFARM_DEBUG"
"""Set, an unexpected exception shows its traceback."""


def _end_by(number: int, _frame: object) -> None:
    """End the command by a signal, and leave in order what it is in the middle of: a hub, say, as its client."""
    raise SystemExit(128 + number)  # which event loops let through, unlike other exceptions


def run_command(command: click.Command, name: str) -> int:
    """Run a click command, turn what it raises into one line on standard error, return the exit code."""
    _open_streams()
    try:
        result = command.main(prog_name=name, standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return 2
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else name
        return _say(where, f"{error.format_message()} (see {where} --help)", 2)
    except click.ClickException as error:
        return _say(name, error.format_message(), 1)
    except WrongUse as error:
        return _say(name, str(error), 2)
    except HubfarmError as error:
        return _say(name, str(error), 1)
    except (click.Abort, KeyboardInterrupt, EOFError):
        return _say(name, "interrupted", 130)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        _drop_output()
        return 1
    except OSError as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        _drop_output()
        return _say(name, f"{error.filename or 'cannot write the output'}: {error.strerror or error}", 1)
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return _say(name, f"failed unexpectedly: {error!r}; set {DEBUG_VARIABLE}=1 to see where", 1)
    return result if isinstance(result, int) else 0


def _open_streams() -> None:
    """See to it that there are all three standard streams, and that any text can be written."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by who started us: the next file that is opened must not take its place
            os.open(os.devnull, os.O_RDWR)
    for name, descriptor, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error: not every terminal's encoding has all


def _drop_output() -> None:
    """Let go of what could not be written, or the interpreter complains of it at exit, by exit code 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(name: str, text: str, code: int) -> int:
    try:
        click.echo(visible(f"{name}: {' '.join(text.split())}"), err=True)
    except OSError:  # the exit code says it too
        _drop_output()
    return code


def entry_point(load: Callable[[], click.Command], name: str) -> Callable[[], int]:
    """Return the function that a launcher calls."""

    def main() -> int:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores the one
                signal.signal(number, _end_by)
        return run_command(load(), name)

    return main
