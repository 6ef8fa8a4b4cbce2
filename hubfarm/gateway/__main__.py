"""``python -m hubfarm.gateway``: what a coordinator starts when a web page comes; not for people to type."""

import argparse
import os
import sys

from setproctitle import setproctitle

from hubfarm.prefork.worker_reports import Report, tell
from hubfarm.registry.locks import holding
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse

GUARD_TIMEOUT = 10.0
"""How long a gateway before this one may take to end, seconds."""


def main() -> int:
    """Run the gateway; return its exit code."""
    parser = argparse.ArgumentParser(prog="hubfarm.gateway")
    parser.add_argument("--listen", type=int, action="append", default=[], help="a listening socket's descriptor")
    parser.add_argument("--switchboard", type=int, help="the descriptor of the line to the host's switchboard")
    parser.add_argument("--report", type=int, required=True, help="the descriptor to tell that it serves")
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args()
    try:
        paths = Paths.from_environment().prepare()
        os.umask(0o077)
        setproctitle("hubfarm web gateway")

        def open_log() -> None:
            log_to(paths.logs / "web.log", "web", options.log_level)

        open_log()
        with holding(paths.web_guard, timeout=GUARD_TIMEOUT, by="another gateway of this farm"):
            from hubfarm.gateway.process import run

            run(paths, options.listen, options.switchboard, open_log, lambda: tell(options.report, Report.RUNNING, ""))
    except HubfarmError as error:
        tell(options.report, Report.FAILED, str(error))
        return 2 if isinstance(error, WrongUse) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
