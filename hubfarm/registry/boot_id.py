"""Which start of this host it is: what died with an earlier one is nobody's loss."""

from functools import cache
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str:
    """Return what tells this start of the host from all others.

    Linux has an id for it; elsewhere it is the time of the boot, which a clock that is set
    moves along.
    """
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        import psutil  # 10 ms that `hubfarm ls` need not pay on Linux

        return f"{psutil.boot_time():.0f}"
