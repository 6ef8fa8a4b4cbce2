"""hubfarm: a farm of SAMP hubs on one host.

The public names, loaded when they are first used: importing hubfarm costs next to nothing.

Examples
--------
>>> import hubfarm
>>> hubfarm.Farm.__name__
'Farm'
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hubfarm.version import __version__

if TYPE_CHECKING:
    from hubfarm.farm import Farm, HubInfo
    from hubfarm.samp.errors import Fault, HubfarmError, WrongUse

_HOMES = {
    "Farm": "hubfarm.farm",
    "HubInfo": "hubfarm.farm",
    "Fault": "hubfarm.samp.errors",
    "HubfarmError": "hubfarm.samp.errors",
    "WrongUse": "hubfarm.samp.errors",
}

__all__ = ["Farm", "Fault", "HubInfo", "HubfarmError", "WrongUse", "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hubfarm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
