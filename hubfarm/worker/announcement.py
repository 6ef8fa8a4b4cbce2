"""What a hub says of itself: to its clients by its metadata, to everybody by its lock file."""

import time

from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.own_process import created
from hubfarm.registry.paths import Paths
from hubfarm.registry.statetable import HubName
from hubfarm.samp import lockfile
from hubfarm.samp.values import Map
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.states import HubKind
from hubfarm.version import __version__

PROFILE_VERSION = "1.3"
"""Of the Standard Profile."""


def hub_metadata(spec: HubSpec, base: str) -> Map:
    """Return the metadata of the hub as its own client (SAMP 1.3, 3.6).

    Parameters
    ----------
    spec : HubSpec
        The hub.
    base : str
        The URL below which its pages lie; see `hubfarm.wire.urls.base_url`.
    """
    return {
        "samp.name": "Hub",
        "samp.description.text": f"SAMP hub {spec.name} of hubfarm {__version__}",
        "samp.icon.url": f"{base}icon.png",
        "samp.documentation.url": base,
        "hub.label": spec.label,
        "hub.owner.name": spec.owner,
        "hub.owner.group": spec.group,
        "hubfarm.version": __version__,
    }


def lock_file_tokens(spec: HubSpec, paths: Paths, name: HubName, url: str, kind: HubKind) -> dict[str, str]:
    """Return the content of the hub's lock file (SAMP 1.3, 4.2).

    Parameters
    ----------
    spec : HubSpec
        The hub.
    paths : Paths
        Where its farm lies.
    name : HubName
        Its ``<PID>-<ID>``.
    url : str
        Its XML-RPC endpoint.
    kind : HubKind
        Who runs it; see `hubfarm.worker.process.HubProcess`.
    """
    return {
        lockfile.SECRET: spec.secret,
        lockfile.URL: url,
        lockfile.VERSION: PROFILE_VERSION,
        "hub.id": str(name),
        **spec.tokens(),
        "hubfarm.kind": kind.value,
        "hubfarm.version": __version__,
        "hubfarm.host": paths.host,
        "hubfarm.pid": str(name.pid),
        "hubfarm.created": f"{created():.2f}",
        "hubfarm.boot": boot_id(),
        "hubfarm.started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
