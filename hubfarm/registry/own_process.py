"""What this process can say of itself without psutil, which is for any process on any system.

A worker that asked psutil would have 0.13 MB more memory of its own.
"""

import os
import time
from pathlib import Path

_STAT = Path("/proc/self/stat")
_START_TIME = 22
"""Its field in proc_pid_stat(5), counted from 1."""


def created() -> float:
    """Return when this process was created, seconds since 1970, as ``psutil.Process().create_time()`` does."""
    try:
        _, _, fields = _STAT.read_text(errors="replace").rpartition(")")  # a process may have any name
    except OSError:
        import psutil  # no Linux

        return float(psutil.Process().create_time())
    boot = int(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME))  # whole seconds, as in /proc/stat
    return boot + int(fields.split()[_START_TIME - 3]) / os.sysconf("SC_CLK_TCK")
