"""hubfarm: a farm of SAMP hubs on one host.

The public names, loaded when they are first used: importing hubfarm costs next to nothing.  Programs that import from
modules of ``astropy.samp`` find those here too (`hubfarm.dropin.layout`).

Examples
--------
>>> import hubfarm
>>> hubfarm.Farm.__name__
'Farm'
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hubfarm.version import __version__

if TYPE_CHECKING:
    from hubfarm.client.aio import AsyncClient
    from hubfarm.client.client import SAMPClient, SAMPMsgReplierWrapper
    from hubfarm.client.data import Receipt
    from hubfarm.client.errors import SAMPHubUnreachable, SAMPProxyError
    from hubfarm.client.handlers import Message
    from hubfarm.client.integrated import SAMPIntegratedClient
    from hubfarm.client.proxy import SAMPHubProxy
    from hubfarm.dropin.vo_helpers import (
        accessible_table,
        connection,
        find_client_id,
        send_image_to,
        send_product_to,
        send_spectrum_to,
        send_table_to,
    )
    from hubfarm.dropin.web import SAFE_MTYPES, SAMP_ICON, WebProfileDialog
    from hubfarm.dropin.xmlrpc import SAMPXXEServerProxy, safe_xmlrpc_loads
    from hubfarm.farm import Farm
    from hubfarm.registry.listing import HubInfo
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
    "hubfarm.registry.listing": ("HubInfo",),
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
    "hubfarm.client.handlers": ("Message",),
    "hubfarm.client.errors": ("SAMPHubUnreachable", "SAMPProxyError"),
    "hubfarm.client.client": ("SAMPClient", "SAMPMsgReplierWrapper"),
    "hubfarm.client.data": ("Receipt",),
    "hubfarm.client.integrated": ("SAMPIntegratedClient",),
    "hubfarm.client.proxy": ("SAMPHubProxy",),
    "hubfarm.dropin.vo_helpers": (
        "accessible_table",
        "connection",
        "find_client_id",
        "send_image_to",
        "send_product_to",
        "send_spectrum_to",
        "send_table_to",
    ),
    "hubfarm.dropin.web": ("SAFE_MTYPES", "SAMP_ICON", "WebProfileDialog"),
    "hubfarm.dropin.xmlrpc": ("SAMPXXEServerProxy", "safe_xmlrpc_loads"),
    "hubfarm.notebook": ("load_ipython_extension", "unload_ipython_extension"),
    "hubfarm.switches": ("conf",),
    "hubfarm.worker.embedded": ("SAMPHubServer",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "SAFE_MTYPES",
    "SAMP_HUB_MULTIPLE_INSTANCE",
    "SAMP_HUB_SINGLE_INSTANCE",
    "SAMP_ICON",
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
    "SAMPXXEServerProxy",
    "WebProfileDialog",
    "WrongUse",
    "__version__",
    "accessible_table",
    "conf",
    "connection",
    "find_client_id",
    "safe_xmlrpc_loads",
    "send_image_to",
    "send_product_to",
    "send_spectrum_to",
    "send_table_to",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if _Layout.find_spec(f"hubfarm.{name}"):
        return import_module(f"hubfarm.{name}")
    raise AttributeError(f"module 'hubfarm' has no attribute {name!r}")


class _Layout:
    """Finds ``hubfarm.hub`` and its like, once Python has found no file of that name."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> Any:
        if not name.startswith("hubfarm.") or name.startswith("hubfarm.dropin"):
            return None
        return import_module("hubfarm.dropin.layout").LayoutFinder("hubfarm", whole=False).find_spec(name)


sys.meta_path.append(_Layout)
