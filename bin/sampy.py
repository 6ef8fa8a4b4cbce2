#!/usr/bin/env python3
"""Launcher of the 2008 command `sampy.py`."""

import sys

from hubfarm.cli.sampy import main

if __name__ == "__main__":
    sys.exit(main())
