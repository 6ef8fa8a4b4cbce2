"""What multiprocessing's forkserver imports before its first fork, and nothing else imports."""

from hubfarm.worker.entry import freeze

freeze()
