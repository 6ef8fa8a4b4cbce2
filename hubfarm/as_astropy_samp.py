"""Puts hubfarm in the place of ``astropy.samp`` and ``pyvo.samp``, for programs that nobody can edit.

To import this is enough, before the program imports its own; or the whole program is started by it::

    python -m hubfarm.as_astropy_samp program.py arguments…
    python -m hubfarm.as_astropy_samp -m module arguments…

It turns on the switches for old programs (`hubfarm.switches`), all but ``env_get``; where ``HUBFARM_SWITCHES``
is set, those that it names and no others.  astropy or pyvo themselves are what they are, as far as they are installed.
"""

import os
import runpy
import shutil
import sys
from importlib import import_module
from importlib.util import find_spec

from hubfarm.dropin.layout import LayoutFinder
from hubfarm.switches import SWITCHES, VARIABLE, conf

PACKAGES = ("astropy.samp", "pyvo.samp")

_USAGE = "usage: python -m hubfarm.as_astropy_samp (PROGRAM | -m MODULE) [ARGUMENT]..."


def install() -> None:
    """Put ours in the place of `PACKAGES`, also of those that are imported already, and turn the switches on.

    Names that a module has taken from the old ones before stay what they are there.
    """
    if VARIABLE not in os.environ:
        conf.turn_on(name for name in SWITCHES if name != "env_get")
    for package in PACKAGES:
        if any(isinstance(finder, LayoutFinder) and finder.package == package for finder in sys.meta_path):
            continue
        sys.meta_path.insert(0, LayoutFinder(package, whole=True))
        loaded = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
        for name in loaded:
            del sys.modules[name]
        if loaded:
            import_module(package)


def run(arguments: list[str]) -> int:
    """Run a program in this process, as Python itself would.

    Parameters
    ----------
    arguments : list of str
        A program's path, or its name if it lies on ``PATH``; or ``-m`` and a module; and what it is given.

    Returns
    -------
    int
        2 if there is no such program in Python; what else happens is the program's business.
    """
    match arguments:
        case ["-h" | "--help"]:
            print(_USAGE)
        case ["-m", module, *rest]:
            _look_first_in(os.getcwd())
            if not _is_module(module):
                return _refuse(f"there is no module {module}")
            sys.argv = [module, *rest]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [program, *rest] if not program.startswith("-"):
            path = program if os.path.isfile(program) else shutil.which(program)
            if path is None:
                return _refuse(f"there is no program {program}")
            if not _is_python(path):
                return _refuse(f"{path} is no program in Python")
            sys.argv = [path, *rest]
            _look_first_in(os.path.dirname(os.path.realpath(path)))
            runpy.run_path(path, run_name="__main__")
        case _:
            return _refuse(_USAGE)
    return 0


def _look_first_in(directory: str) -> None:
    if not sys.flags.safe_path:  # as Python itself: there the first is where it looked for this module
        sys.path[0] = directory


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a package in it is none, or it is no name at all
        return False


def _is_python(path: str) -> bool:
    with open(path, "rb") as file:
        start = file.read(256)
    return b"python" in start.partition(b"\n")[0] if start.startswith(b"#!") else b"\0" not in start


def _refuse(reason: str) -> int:
    print(reason if reason is _USAGE else f"hubfarm.as_astropy_samp: {reason}", file=sys.stderr)
    return 2


install()

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
