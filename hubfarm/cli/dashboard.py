"""``hubfarm dashboard``: the farm in a browser."""

import asyncio
import os
import threading
from pathlib import Path

import click

from hubfarm.cli.options import log_level_option, seconds
from hubfarm.cli.show import say
from hubfarm.dashboard.process import IDLE, PORT, Asked, running, serve
from hubfarm.gateway.alerts import has_display, leading_to, open_in_browser
from hubfarm.registry.locks import holding
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import WrongUse


@click.command()
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option("--port", type=click.IntRange(1, 65535), metavar="P", help=f"Where; by default {PORT}, or the next free.")
@click.option("--socket", "place", type=click.Path(dir_okay=False, path_type=Path), metavar="PATH",
              help="Listen on this Unix socket instead of a port: for a proxy.")  # fmt: skip
@click.option("--no-token", is_flag=True, help="With --socket: whoever comes by it is you; the proxy has asked.")
@click.option("--allow-host", "names", multiple=True, metavar="NAME",
              help="It is called so, by a proxy: other names than localhost are refused.")  # fmt: skip
@click.option("--idle", default=IDLE, show_default=True, callback=seconds, metavar="S",
              help="End when nobody has looked for S seconds; 0 for never.")  # fmt: skip
@click.option("--no-icons", is_flag=True, help="Fetch no client's icon that lies on another host.")
@log_level_option
def dashboard(
    no_browser: bool,
    port: int | None,
    place: Path | None,
    no_token: bool,
    names: tuple[str, ...],
    idle: float,
    no_icons: bool,
    log_level: str,
) -> None:
    """Show the farm in your browser: hubs, clients, logs; start and stop, send and load.

    It prints an address with a secret in it, opens it, and ends by Ctrl-C, or when nobody has looked for ten minutes.
    From your own machine, over ssh:

    \b
    ssh -t -L 8621:localhost:8621 HOST \\
        hubfarm dashboard --no-browser --port 8621
    """
    if place is not None and port is not None:
        raise WrongUse("say --socket or --port, not both")
    if no_token and place is None:
        raise WrongUse("--no-token is for --socket: other accounts of this host reach a port")
    paths = Paths.from_environment().prepare()
    asked = Asked(port=port, socket=place, names=names, token=not no_token, idle=idle, icons=not no_icons)
    opens = place is None and not no_browser and has_display()
    if place is not None:
        _serve(paths, asked, log_level, opens=False)
        return
    if (there := running(paths)) is not None and port in (None, there.port):
        say(there.address)
        if opens:
            open_in_browser(leading_to(there.address, paths.runtime / "dashboard.html"))
        return
    with holding(paths.dashboard_guard, timeout=0.5, by="another dashboard of this account"):
        _serve(paths, asked, log_level, opens=opens)


def _serve(paths: Paths, asked: Asked, log_level: str, *, opens: bool) -> None:
    from setproctitle import setproctitle

    log_to(None, "dashboard", log_level)
    os.umask(0o077)
    setproctitle("hubfarm dashboard")

    def ready(address: str) -> None:
        if address:
            say(address)
        if opens:
            file = leading_to(address, paths.runtime / "dashboard.html")
            threading.Thread(target=open_in_browser, args=(file,), daemon=True).start()

    asyncio.run(serve(paths, asked, ready))
