"""Passwords, as commands get them: from a file, standard input or a person on the terminal, and never as arguments."""

import functools
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import click

from hubfarm.access.passwords import LONGEST, check_password
from hubfarm.samp.errors import WrongUse

password_option = click.option(
    "--password-file",
    metavar="FILE",
    help="Where the password stands, on the first line; '-' is standard input. Without it, the terminal is asked.",
)
user_option = click.option("--user", metavar="NAME", help="Enter as this user, who is asked for the password.")


class Who(NamedTuple):
    """As whom a command enters a hub; see `as_user`.

    Parameters
    ----------
    user : str
        The user's name; empty for the holder of the ticket at hand, or nobody in particular.
    password_file : str or None
        See `password_option`.
    """

    user: str = ""
    password_file: str | None = None

    def password(self) -> str:
        """Return the user's password; see `password_of`."""
        return password_of(self.user, self.password_file)


NOBODY = Who()


def as_user(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--user`` and ``--password-file``; the command gets them as `who`."""

    @functools.wraps(command)
    def run(*, user: str | None, password_file: str | None, **others: Any) -> Any:
        if password_file is not None and not user:
            raise WrongUse("say whose password it is: --user NAME")
        return command(who=Who(user or "", password_file), **others)

    return user_option(password_option(run))


def password_of(user: str, file: str | None, *, twice: bool = False) -> str:
    """Return the password of a user.

    Parameters
    ----------
    user : str
        Whose it is.
    file : str or None
        Where it stands; see `password_option`.
    twice : bool
        It is a new one: a person has to type it twice.

    Raises
    ------
    WrongUse
        There is neither a file nor a terminal, or what was given cannot be a password.
    """
    if file is not None:
        return check_password(_first_line(file))
    if not sys.stdin.isatty():
        raise WrongUse("there is no terminal to ask for the password on: give --password-file FILE, or - for a pipe")
    typed = click.prompt(f"Password of {user}", hide_input=True, confirmation_prompt=twice, err=True)
    return check_password(str(typed))


def _first_line(file: str) -> str:
    try:
        with open(0 if file == "-" else file, "rb", buffering=0, closefd=file != "-") as opened:
            line = b"".join(_until_line_end(opened)).decode()
    except OSError as error:
        raise WrongUse(f"cannot read the password file {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise WrongUse(f"the password file {file} is not in UTF-8") from None
    return line.removesuffix("\n").removesuffix("\r")


def _until_line_end(file: io.FileIO) -> Iterator[bytes]:
    """Yield what stands on the first line, and read nothing behind it: the rest is for who is executed."""
    for _ in range(4 * LONGEST):
        byte = file.read(1)
        yield byte
        if byte in (b"", b"\n"):
            return
