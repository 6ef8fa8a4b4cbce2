"""``hubfarm web switchboard``, once it is called for: its log, and that it is ready."""

import os
from pathlib import Path

from loguru import logger

from hubfarm.coordinator.daemon import notify_service_manager
from hubfarm.gateway.switchboard import run
from hubfarm.registry.logs import log_to
from hubfarm.registry.paths import SHARED, SHARED_VARIABLE


def serve(port: int) -> None:
    """Be the host's switchboard until a signal.

    Raises
    ------
    HubfarmError
        The directory is not to be had, or another switchboard runs.
    """
    from hubfarm.farm.web import holder_of

    def blame() -> str:
        return f": {holder} has it" if (holder := holder_of(port)) else ""

    directory = Path(os.environ.get(SHARED_VARIABLE) or SHARED)
    log_to(None, "switchboard", "INFO")
    os.umask(0o022)
    run(directory / "switchboard", port, blame, lambda: notify_service_manager("READY=1"))
    logger.info("ended")
