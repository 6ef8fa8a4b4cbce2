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
    from hubfarm.client.aio import AsyncClient
    from hubfarm.client.bindings import Message
    from hubfarm.client.client import SAMPClient, SAMPMsgReplierWrapper
    from hubfarm.client.data import Receipt
    from hubfarm.client.errors import SAMPHubUnreachable, SAMPProxyError
    from hubfarm.client.integrated import SAMPIntegratedClient
    from hubfarm.client.proxy import SAMPHubProxy
    from hubfarm.farm import Farm
    from hubfarm.listing import HubInfo
    from hubfarm.samp.errors import Fault, HubfarmError, WrongUse
    from hubfarm.samp.toolkit import (
        SAMP_HUB_MULTIPLE_INSTANCE,
        SAMP_HUB_SINGLE_INSTANCE,
        SAMP_STATUS_ERROR,
        SAMP_STATUS_OK,
        SAMP_STATUS_WARNING,
        SAMPClientError,
        SAMPHubError,
        SAMPWarning,
    )
    from hubfarm.switches import conf
    from hubfarm.worker.embedded import SAMPHubServer

_NAMES = {
    "hubfarm.farm": ("Farm",),
    "hubfarm.listing": ("HubInfo",),
    "hubfarm.samp.errors": ("Fault", "HubfarmError", "WrongUse"),
    "hubfarm.samp.toolkit": (
        "SAMP_HUB_MULTIPLE_INSTANCE",
        "SAMP_HUB_SINGLE_INSTANCE",
        "SAMP_STATUS_ERROR",
        "SAMP_STATUS_OK",
        "SAMP_STATUS_WARNING",
        "SAMPClientError",
        "SAMPHubError",
        "SAMPWarning",
    ),
    "hubfarm.client.aio": ("AsyncClient",),
    "hubfarm.client.bindings": ("Message",),
    "hubfarm.client.errors": ("SAMPHubUnreachable", "SAMPProxyError"),
    "hubfarm.client.client": ("SAMPClient", "SAMPMsgReplierWrapper"),
    "hubfarm.client.data": ("Receipt",),
    "hubfarm.client.integrated": ("SAMPIntegratedClient",),
    "hubfarm.client.proxy": ("SAMPHubProxy",),
    "hubfarm.switches": ("conf",),
    "hubfarm.worker.embedded": ("SAMPHubServer",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "SAMP_HUB_MULTIPLE_INSTANCE",
    "SAMP_HUB_SINGLE_INSTANCE",
    "SAMP_STATUS_ERROR",
    "SAMP_STATUS_OK",
    "SAMP_STATUS_WARNING",
    "AsyncClient",
    "Farm",
    "Fault",
    "HubInfo",
    "HubfarmError",
    "Message",
    "Receipt",
    "SAMPClient",
    "SAMPClientError",
    "SAMPHubError",
    "SAMPHubProxy",
    "SAMPHubServer",
    "SAMPHubUnreachable",
    "SAMPIntegratedClient",
    "SAMPMsgReplierWrapper",
    "SAMPProxyError",
    "SAMPWarning",
    "WrongUse",
    "__version__",
    "conf",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'hubfarm' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
