"""``python -m hubfarm.coordinator``: what `hubfarm start` starts; not for people to type."""

import argparse
import os
import sys
from pathlib import Path

from hubfarm.coordinator.spawner import Spawner
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.visible import visible
from hubfarm.wire.connections import raise_descriptor_limit


def main() -> int:
    """Run the coordinator; return its exit code."""
    parser = argparse.ArgumentParser(prog="hubfarm.coordinator")
    parser.add_argument("--ready", type=int, help="file descriptor to write to once ready, in the background")
    parser.add_argument("--start", help="in the foreground: the request to start hubs, JSON")
    parser.add_argument("--farm-file", type=Path, help="in the foreground: the farm file that declares hubs")
    parser.add_argument("--json", action="store_true", help="in the foreground: print JSON")
    parser.add_argument("--log-level", default="INFO")
    options = parser.parse_args()
    try:
        paths = Paths.from_environment()
        os.umask(0o077)  # a Unix socket is open to others from its binding on, or never
        raise_descriptor_limit()
        paths.prepare()
        spawner = Spawner(LockDir(paths), options.log_level)
        # Only now: a third of a second of loading, and both processes load at once.
        from hubfarm.coordinator.daemon import run_in_background, run_in_foreground
        from hubfarm.spec.hub_request import decode_requests

        if options.ready is not None:
            run_in_background(paths, options.log_level, spawner, options.ready)
        else:
            from hubfarm.coordinator.service import asked_for, declared_in

            file = options.farm_file
            purpose = declared_in(file) if file else asked_for(decode_requests(options.start))
            run_in_foreground(
                paths, options.log_level, spawner, purpose, reloads=file is not None, as_json=options.json
            )
    except HubfarmError as error:
        print(visible(f"hubfarm: {error}"), file=sys.stderr)
        return 2 if isinstance(error, WrongUse) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
