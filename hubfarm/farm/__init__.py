"""The Python face of the hubs on this host: `Farm`, and farms declared in files."""

from hubfarm.farm.farm import Farm, HubInfo

__all__ = ["Farm", "HubInfo"]
