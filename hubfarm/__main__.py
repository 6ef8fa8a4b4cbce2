"""``python -m hubfarm``."""

import sys

from hubfarm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
