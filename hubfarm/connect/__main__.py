"""``python -m hubfarm.connect NAME``: what a coordinator starts for a connection; not for people to type."""

import argparse
import os
import sys

from setproctitle import setproctitle

from hubfarm.prefork.worker_reports import Report, tell
from hubfarm.registry.connections import Connections
from hubfarm.registry.locks import holding
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse

GUARD_TIMEOUT = 10.0
"""How long a process before this one may take to end, seconds."""


def main() -> int:
    """Run a connection; return its exit code."""
    parser = argparse.ArgumentParser(prog="hubfarm.connect")
    parser.add_argument("name", help="the connection's name")
    parser.add_argument("--report", type=int, required=True, help="the descriptor to tell that it runs")
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args()
    try:
        paths = Paths.from_environment().prepare()
        os.umask(0o077)
        setproctitle(f"hubfarm connection {options.name}")

        def open_log() -> None:
            log_to(paths.logs / f"connection-{options.name}.log", f"connection {options.name}", options.log_level)

        open_log()
        connections = Connections(paths)
        with holding(connections.guard(options.name), timeout=GUARD_TIMEOUT, by="another process of this connection"):
            wish = connections.find(options.name)
            if wish is None:
                raise WrongUse(f"there is no connection {options.name}")
            from hubfarm.connect.process import run

            run(wish, connections, paths, open_log, lambda: tell(options.report, Report.RUNNING, ""))
    except HubfarmError as error:
        tell(options.report, Report.FAILED, str(error))
        return 2 if isinstance(error, WrongUse) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
