"""``hubfarm upgrade``: bring what runs to the release that is installed."""

from dataclasses import asdict

import click

from hubfarm.cli.coordinator import absence
from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json, progress, say
from hubfarm.farm import Farm
from hubfarm.farm.upgrade import Fate, Part
from hubfarm.version import __version__


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@json_option
def upgrade(dry_run: bool, as_json: bool) -> None:
    """Bring the coordinator and the hubs to the release that is installed; their clients stay.

    The coordinator is replaced first, then each hub in turn. Before anything is ended, the release has to run a farm
    of its own, and to read what each hub keeps. Hubs that other programs run are left to them.

    \b
    Example:
      pip install -U hubfarm
      hubfarm upgrade --dry-run
      hubfarm upgrade
    """
    farm = Farm()
    parts = farm.upgrade(dry_run=True)
    due = sum(part.fate is Fate.REPLACE for part in parts)
    if due and not dry_run:
        with progress("upgrading", due) as told:
            farm.upgrade(progress=told)
    if as_json:
        print_json([asdict(part) for part in parts])
        return
    if warning := absence(farm, farm.hubs()):
        say(warning, err=True)
    for part in parts:
        say(f"{part.name}: {_what(part, dry_run)}")
    if not due:
        say(f"nothing to do: hubfarm {__version__} is what runs" if parts else "nothing runs", err=not parts)


def _what(part: Part, dry_run: bool) -> str:
    release = part.release or "before 0.2.0"
    match part.fate:
        case Fate.CURRENT:
            return f"runs hubfarm {release}"
        case Fate.REPLACE:
            return f"hubfarm {release} -> {__version__}{' (not done)' if dry_run else ''}"
    return f"hubfarm {release} stays: it ends with the program that runs it (process {part.pid}, {part.kind})"
