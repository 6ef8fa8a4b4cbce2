"""What multiprocessing's forkserver imports before its first fork, and nothing else imports.

All that workers have in common is loaded, made and tried out here, so that they share its memory.
"""

import encodings.ascii
import encodings.idna  # noqa: F401  # of these two, the first use of a codec would load them late

import filelock  # noqa: F401  # which `registry.files` imports late
from loguru import logger

from hubfarm.registry.logs import make_sink
from hubfarm.worker.entry import freeze
from hubfarm.worker.rehearsal import rehearse

logger.remove()
rehearse()
make_sink("INFO")
freeze()
