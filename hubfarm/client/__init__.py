"""For programs that talk to a hub."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubfarm.client.client import SAMPClient

__all__ = ["SAMPClient"]


def __getattr__(name: str) -> object:
    # Where astropy's programs look for it; not loaded for those who want another module of this room.
    if name == "SAMPClient":
        from hubfarm.client.client import SAMPClient

        return SAMPClient
    raise AttributeError(f"module 'hubfarm.client' has no attribute {name!r}")
