"""``hubfarm ls``, ``status``, ``history``, ``logs``: see what runs, and what did."""

import codecs
import os
from collections.abc import Iterator
from datetime import datetime

import click

from hubfarm.cli.options import json_option, selector_argument
from hubfarm.cli.show import print_hubs, print_json, print_table, say, span, wait_for_more
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError


@click.command("ls")
@click.option("--group", metavar="G", help="Only hubs of this group.")
@click.option("--owner", metavar="O", help="Only hubs of this owner.")
@click.option("--label", metavar="L", help="Only hubs whose label begins so.")
@click.option("--host", metavar="H", help="Only hubs on this host.")
@click.option("--all", "everything", is_flag=True, help="Also what dead hubs left, and hubs of other hosts.")
@json_option
def list_hubs(
    group: str | None, owner: str | None, label: str | None, host: str | None, everything: bool, as_json: bool
) -> None:
    """List the hubs that run, foreign ones marked as such.

    \b
    Example:
      hubfarm ls --group mima
      hubfarm ls --json | jq -r '.[].url'
    """

    def wanted(hub: HubInfo) -> bool:
        return (
            (group is None or hub.group == group)
            and (owner is None or hub.owner == owner)
            and (label is None or hub.label.startswith(label))
            and (host is None or hub.host == host)
        )

    hubs = [hub for hub in Farm().hubs(everything=everything or host is not None) if wanted(hub)]
    if as_json:
        print_json([hub.as_json() for hub in hubs])
    elif hubs:
        print_hubs(hubs)
    else:
        say("no hub runs" + ("" if (group, owner, label, host) == (None,) * 4 else " that fits"), err=True)


@click.command()
@json_option
def status(as_json: bool) -> None:
    """Show the coordinator: process, version, uptime, hubs by state, restarts.

    Exit code 1 if none runs; hubs go on without one, and the next start adopts them.

    \b
    Example:
      hubfarm status
    """
    coordinator = Farm().coordinator()
    if coordinator is None:
        raise HubfarmError("no coordinator runs; hubfarm start starts one")
    if as_json:
        print_json(coordinator)
        return
    hubs = coordinator["hubs"]
    phases = sorted({hub["phase"] for hub in hubs})
    states = ", ".join(f"{sum(hub['phase'] == phase for hub in hubs)} {phase}" for phase in phases)
    say(f"coordinator  process {coordinator['pid']}, hubfarm {coordinator['version']}")
    say(f"uptime       {span(coordinator['uptime'])}")
    say(f"hubs         {len(hubs)}" + (f": {states}" if hubs else ""))
    say(f"restarts     {sum(hub['restarts'] for hub in hubs)}")


@click.command()
@click.option("-n", "--lines", default=50, show_default=True, metavar="N", help="The last N.")
@json_option
def history(lines: int, as_json: bool) -> None:
    """Show what ended, when and why, the newest last.

    \b
    Example:
      hubfarm history -n 10
    """
    endings = Farm().history()[-lines:] if lines > 0 else []
    if as_json:
        print_json([ending.as_json() for ending in endings])
        return
    print_table(
        ("TIME", "ID", "LABEL", "HOW", "UPTIME", "RESTARTS", "WHY"),
        [
            (
                datetime.fromisoformat(ending.time).astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                str(ending.id),
                ending.label,
                ending.how.value,
                span(ending.uptime),
                str(ending.restarts),
                ending.reason,
            )
            for ending in endings
        ],
    )


@click.command()
@selector_argument
@click.option("-f", "--follow", is_flag=True, help="Go on as the log grows.")
@click.option("-n", "--lines", default=50, show_default=True, metavar="N", help="The last N lines.")
def logs(selector: str, follow: bool, lines: int) -> None:
    """Show the log of a hub, or of the coordinator: hubfarm logs coordinator.

    A hub that has ended is named by its label.

    \b
    Example:
      hubfarm logs mima-2 -f
    """
    import subprocess  # 5 ms that the other commands here need not pay

    path = Farm().log_file(selector)
    path.open("rb").close()  # if it cannot be read we say so, and not tail
    arguments = ["tail", "-n", str(min(max(lines, 0), 10**9)), *(["-F"] if follow else []), "--", str(path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        try:
            for line in _lines(tail.stdout.fileno()):
                say(line)
        finally:
            tail.terminate()


def _lines(descriptor: int) -> Iterator[str]:
    """Yield the lines that are written to a pipe, as they come."""
    decode = codecs.getincrementaldecoder("utf-8")("replace").decode
    line: list[str] = []
    data = b"..."
    while data:
        wait_for_more(descriptor)
        data = os.read(descriptor, 2**16)
        rest, *others = decode(data, final=not data).split("\n")
        line.append(rest)
        for other in others:
            yield "".join(line)
            line = [other]
    if rest := "".join(line):
        yield rest
