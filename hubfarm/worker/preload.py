"""What multiprocessing's forkserver imports before its first fork, and nothing else imports."""

import filelock  # noqa: F401  # which `lockdir` imports late: here, so that workers share its memory

from hubfarm.worker.entry import freeze

freeze()
