"""Which module of ``astropy.samp`` 8 and ``pyvo.samp`` 1.9 has which public names, and where ours come from.

`LAYOUT` is all there is to know.  ``hubfarm.hub`` and its like are made of it when they are imported, and so are
``astropy.samp`` and ``pyvo.samp`` for programs under `hubfarm.as_astropy_samp`; there are no files of
those names (docs/decisions/0001-modules-of-the-drop-in.md).
"""

import sys
from collections.abc import Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

LAYOUT: Mapping[str, Mapping[str, str]] = {
    "client": {"SAMPClient": "hubfarm.client.client"},
    "constants": {
        "SAFE_MTYPES": "hubfarm.dropin.web",
        "SAMP_ICON": "hubfarm.dropin.web",
        "SAMP_STATUS_ERROR": "hubfarm.samp.toolkit",
        "SAMP_STATUS_OK": "hubfarm.samp.toolkit",
        "SAMP_STATUS_WARNING": "hubfarm.samp.toolkit",
    },
    "errors": {
        "SAMPClientError": "hubfarm.samp.toolkit",
        "SAMPHubError": "hubfarm.samp.toolkit",
        "SAMPProxyError": "hubfarm.client.errors",
        "SAMPWarning": "hubfarm.samp.toolkit",
    },
    "hub": {
        "SAMPHubServer": "hubfarm.worker.embedded",
        "WebProfileDialog": "hubfarm.dropin.web",
    },
    "hub_proxy": {"SAMPHubProxy": "hubfarm.client.proxy"},
    "hub_script": {"hub_script": "hubfarm.dropin.hub_script"},
    "integrated_client": {"SAMPIntegratedClient": "hubfarm.client.integrated"},
    "lockfile_helpers": {
        "check_running_hub": "hubfarm.dropin.lockfile_helpers",
        "create_lock_file": "hubfarm.dropin.lockfile_helpers",
        "get_main_running_hub": "hubfarm.dropin.lockfile_helpers",
        "get_running_hubs": "hubfarm.dropin.lockfile_helpers",
        "read_lockfile": "hubfarm.dropin.lockfile_helpers",
        "remove_garbage_lock_files": "hubfarm.dropin.lockfile_helpers",
        "write_lockfile": "hubfarm.dropin.lockfile_helpers",
    },
    "utils": {
        "SAMPMsgReplierWrapper": "hubfarm.client.client",
        "SAMPXXEServerProxy": "hubfarm.dropin.xmlrpc",
        "safe_xmlrpc_loads": "hubfarm.dropin.xmlrpc",
    },
    "vo_helpers": {
        "accessible_table": "hubfarm.dropin.vo_helpers",
        "connection": "hubfarm.dropin.vo_helpers",
        "find_client_id": "hubfarm.dropin.vo_helpers",
        "send_image_to": "hubfarm.dropin.vo_helpers",
        "send_product_to": "hubfarm.dropin.vo_helpers",
        "send_spectrum_to": "hubfarm.dropin.vo_helpers",
        "send_table_to": "hubfarm.dropin.vo_helpers",
    },
}
"""Module of the package, public name, module of ours that holds it."""

_PRIVATE = ("hub_script", "lockfile_helpers")
"""Modules whose names the package itself does not have."""

PACKAGE: Mapping[str, str] = {
    "SAMP_HUB_MULTIPLE_INSTANCE": "hubfarm.samp.toolkit",
    "SAMP_HUB_SINGLE_INSTANCE": "hubfarm.samp.toolkit",
    "conf": "hubfarm.switches",
    **{name: home for module, names in LAYOUT.items() if module not in _PRIVATE for name, home in names.items()},
}
"""Public name of the package itself, module of ours that holds it."""


class LayoutFinder(MetaPathFinder):
    """Finds a package's modules of this layout, for Python's import.

    Parameters
    ----------
    package : str
        As ``astropy.samp``.
    whole : bool
        Find the package itself too.
    """

    def __init__(self, package: str, *, whole: bool) -> None:
        self.package = package
        self._whole = whole

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return what leads to the module `name`, None if it is not one of these."""
        if name == self.package and self._whole:
            return ModuleSpec(name, _Made(PACKAGE), is_package=True)
        package, _, module = name.rpartition(".")
        if package != self.package or module not in LAYOUT:
            return None
        homes = set(LAYOUT[module].values())
        whole = f"hubfarm.dropin.{module}"
        return ModuleSpec(name, _Alias(whole) if homes == {whole} else _Made(LAYOUT[module]))


class _Made(Loader):
    """Makes a module whose names are loaded when they are first used."""

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._homes = homes

    def exec_module(self, module: ModuleType) -> None:
        package, homes = module.__name__, self._homes

        def load(name: str) -> object:
            if name in homes:
                return getattr(import_module(homes[name]), name)
            if homes is PACKAGE and name in LAYOUT:
                return import_module(f"{package}.{name}")
            raise AttributeError(f"module {package!r} has no attribute {name!r}")

        module.__doc__ = f"``{package}``, of hubfarm: see `hubfarm.dropin.layout`."
        module.__dict__.update(__getattr__=load, __dir__=lambda: sorted(homes), __all__=sorted(homes))


class _Alias(Loader):
    """Gives a module a second name, so that what is changed under one is changed under the other."""

    def __init__(self, home: str) -> None:
        self._home = home

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = import_module(self._home)
