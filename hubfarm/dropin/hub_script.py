"""``astropy.samp.hub_script``: the command ``samp_hub`` as a function."""

import logging
import os
import signal
import sys
import threading
from copy import copy

import click

from hubfarm.cli.errors import run_command
from hubfarm.cli.samp_hub import samp_hub

__all__ = ["hub_script"]

log = logging.getLogger("hubfarm.samp_hub")
"""For what wraps `hub_script`: its level is what ``--log-level`` says. The hub itself logs by loguru."""


def hub_script(timeout: float = 0) -> None:
    """Run ``samp_hub`` with the arguments of ``sys.argv``, in the main thread, until it ends.

    Parameters
    ----------
    timeout : float
        Seconds after its start at which it ends; 0 for never.

    Raises
    ------
    SystemExit
        It failed, or was used wrongly; with its exit code.
    """

    def started(_: object) -> None:
        level = click.get_current_context().params["log_level"]
        log.setLevel(logging.getLevelNamesMapping().get(level, logging.CRITICAL))
        if timeout:
            timer = threading.Timer(timeout, os.kill, (os.getpid(), signal.SIGTERM))  # as a user would
            timer.daemon = True
            timer.start()

    command = copy(samp_hub)
    command.context_settings = {**samp_hub.context_settings, "obj": started}
    if code := run_command(command, "samp_hub"):
        sys.exit(code)
