"""``python -m hubfarm.worker DESCRIPTOR LEVEL``: the forkserver that a coordinator starts; not for people to type."""

import os
import sys


def main() -> None:
    """Be the forkserver; in each worker, be the worker."""
    # Libraries have Python call them at each fork, to make locks anew that another thread may have held (threading,
    # logging, loguru) and to seed `random`.  Here no other thread is, and `forkserver.run` seeds; by itself, each
    # fork would copy 0.5 MB more.
    os.register_at_fork = lambda **_: None
    from hubfarm.prefork.forkserver import run  # only now: it loads them

    run(int(sys.argv[1]), sys.argv[2])


if __name__ == "__main__":
    main()
