"""One SAMP hub: what it decides (pure), the doors by which it is entered, the ways out of it, and what is kept of it.

Here too what programs import that were written for ``astropy.samp.hub`` (`hubfarm.dropin.layout`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hubfarm.dropin.web import WebProfileDialog
    from hubfarm.worker.embedded import SAMPHubServer

__all__ = ["SAMPHubServer", "WebProfileDialog"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'hubfarm.hub' has no attribute {name!r}")
    layout = import_module("hubfarm.dropin.layout")  # above this room, and not loaded by it for itself
    return getattr(import_module(layout.LAYOUT["hub"][name]), name)
