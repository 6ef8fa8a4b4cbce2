"""``hubfarm gc``: clear what crashed hubs left."""

import click

from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json, print_table, say
from hubfarm.farm import Farm


@click.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def gc(dry_run: bool, as_json: bool) -> None:
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
    elif not verdicts:
        say("nothing to clear", err=True)
    else:
        done = "would remove" if dry_run else "removed"
        print_table(("DONE", "FILE", "WHY"), [(done if v.removed else "kept", str(v.path), v.reason) for v in verdicts])
