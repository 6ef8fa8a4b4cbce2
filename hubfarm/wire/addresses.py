"""Addresses of this machine: which there are, and which are for this host alone."""

import socket

import psutil

EVERYWHERE = ("0.0.0.0", "::")
"""Addresses that stand for all of this machine's."""


def is_loopback(address: str) -> bool:
    """Tell whether an address that a socket is bound to (`socket.getsockname`) is for this host alone."""
    return address == "::1" or address.startswith("127.")  # by `ipaddress`, a worker has 0.1 MB more of its own


def own_addresses() -> set[str]:
    """Return the addresses of this machine's interfaces, as text."""
    return {
        each.address.partition("%")[0]
        for interface in psutil.net_if_addrs().values()
        for each in interface
        if each.family in (socket.AF_INET, socket.AF_INET6)
    }
