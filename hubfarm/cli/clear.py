"""``hubfarm gc``: clear what crashed hubs left."""

import click

from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm

Row = tuple[str, str, str]

COLUMNS: list[Column[Row]] = [
    Column(name="done", of=lambda row: row[0], priority=1),
    Column(name="file", of=lambda row: row[1], priority=1, cut=Cut.MIDDLE, floor=16),
    Column(name="why", of=lambda row: row[2], priority=2, cut=Cut.END, floor=16),
]


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@listing(COLUMNS)
@json_option
def gc(dry_run: bool, view: View[Row], as_json: bool) -> None:
    """Clear what crashed hubs left: lock files, guards, stable names.

    Says file by file what was removed or kept, and why. A file of a living hub, or of one that
    may live, is never removed.

    \b
    Example:
      hubfarm gc --dry-run
    """
    verdicts = Farm().gc(dry_run=dry_run)
    if as_json:
        print_json([{"path": str(v.path), "removed": v.removed, "reason": v.reason} for v in verdicts])
    else:
        done = "would remove" if dry_run else "removed"
        rows = [(done if v.removed else "kept", str(v.path), v.reason) for v in verdicts]
        view.show(lambda: rows, "nothing to clear")
