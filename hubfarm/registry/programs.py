"""What a program needs to be led to a hub: most read ``SAMP_HUB``, some look into a home and nowhere else.

The programs known to need more stand in a table, which the settings file extends.  It may know where the farm's
files lie, and nothing of hubs but their lock files.
"""

import os
import pwd
import shlex
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path, PurePath

from hubfarm.registry.homes import make_home
from hubfarm.registry.paths import Paths


class Need(StrEnum):
    """What leads a program to a hub, beside ``SAMP_HUB``."""

    NOTHING = "nothing"
    """It reads ``SAMP_HUB``."""
    JAVA_HOME = "java-home"
    """It looks for ``.samp`` where Java says that the user's home is (``user.home``)."""
    HOME = "home"
    """It looks for ``.samp`` where ``HOME`` says."""


KNOWN: dict[str, Need] = {
    "aladin": Need.JAVA_HOME,
    "aladinbeta": Need.JAVA_HOME,
    "aladinproto": Need.JAVA_HOME,
    "gaia": Need.HOME,
}
"""Programs, by the names of their commands or jars in small letters, that need more than ``SAMP_HUB``."""

_KEEPS = {name: (".aladin",) for name in KNOWN if name.startswith("aladin")}
"""Directories that they make in the user's home, and look for there the next time."""

_USER_HOME = "-Duser.home="


def name_of(command: Sequence[str]) -> str:
    """Return the name under which the table has a program: of its command, or of the jar that Java runs.

    Examples
    --------
    >>> name_of(["/usr/bin/aladin", "m51.fits"]), name_of(["java", "-Xmx2g", "-jar", "/opt/Aladin.jar"])
    ('aladin', 'aladin')
    """
    program = PurePath(command[0])
    if program.name == "java" and "-jar" in command[:-1]:
        program = PurePath(command[command.index("-jar") + 1])
    return program.name.casefold().removesuffix(program.suffix if program.suffix in (".jar", ".sh") else "")


def variables_for(
    command: Sequence[str],
    lock_file: Path,
    paths: Paths,
    settings: Mapping[str, Need],
    environ: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the variables that a program needs beside ``SAMP_HUB``, and make what they name.

    What is made belongs to the program that takes this process's place (exec), and goes once that has ended.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments.
    lock_file : Path
        The hub's; its stable name, if it has one.
    paths : Paths
        Where the farm's files lie.
    settings : dict of str to Need
        What the user has added to `KNOWN`, or set otherwise.
    environ : dict of str to str
        The program's environment, but for these.

    Raises
    ------
    HubfarmError
        What it needs cannot be made.
    """
    name = name_of(command)
    match settings.get(name, KNOWN.get(name, Need.NOTHING)):
        case Need.JAVA_HOME:
            # What stands in the one overrides what stands in the other, and the last in each counts.
            options = "_JAVA_OPTIONS" if _homes_in(environ.get("_JAVA_OPTIONS", "")) else "JAVA_TOOL_OPTIONS"
            present = environ.get(options, "")
            keeps = (".java", *_KEEPS.get(name, ()))
            home = make_home(paths.prepare(), name, _java_home(present) or paths.home, lock_file, keeps)
            return {options: f"{present} {_USER_HOME}{shlex.quote(str(home))}".lstrip()}
        case Need.HOME:
            return {"HOME": str(make_home(paths.prepare(), name, paths.home, lock_file, ()))}
        case _:
            return {}


def _java_home(options: str) -> Path | None:
    """Return what Java takes for the user's home: what it is told, or what the password database says."""
    if told := _homes_in(options):
        return told[-1]
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None
    return home if home.is_dir() else None


def _homes_in(options: str) -> list[Path]:
    """Return the homes that are named in Java's options: words, quoted as for a shell, but without backslashes."""
    words = shlex.shlex(options, posix=True)
    words.whitespace_split, words.commenters, words.escape = True, "", ""
    try:
        return [Path(word.removeprefix(_USER_HOME)) for word in words if word.startswith(_USER_HOME)]
    except ValueError:
        return []  # a quote that is not closed: Java will say so
