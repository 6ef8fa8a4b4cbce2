"""Where a hub may call clients back: the rule, and connections that keep to it.

A client names its callback URL itself, so a hub that called every URL could be used to reach
into a network that its user can't.  A hub on loopback calls back this host only, unless it is
told otherwise.  A name is resolved when it is declared, so that the client gets a fault, and again
for each connection, which goes to an address that was checked and not to the name.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Collection
from urllib.parse import SplitResult

from hubfarm.samp.errors import Fault
from hubfarm.wire.addresses import own_addresses
from hubfarm.wire.http_client import HttpClient
from hubfarm.wire.urls import check_http_url

ANY = "*"
"""In a list of callback hosts: every host."""

RESOLVE_TIMEOUT = 5.0
"""How long the name service may take for a callback URL that is being declared, seconds."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class CallbackRule:
    """Which hosts may be called back: this one, and those that are named.

    Parameters
    ----------
    hosts : collection of str
        Names, addresses, networks (``192.168.1.0/24``), or ``*`` for every host.

    Examples
    --------
    >>> rule = CallbackRule(["ds9.example.org", "192.168.1.0/24"])
    >>> rule.permits("127.0.0.1", "127.0.0.1"), rule.permits("192.168.1.7", "192.168.1.7")
    (True, True)
    >>> rule.permits("10.0.0.1", "10.0.0.1")
    False
    """

    def __init__(self, hosts: Collection[str]) -> None:
        self._any = ANY in hosts
        self._networks: list[_Network] = []
        self._names: set[str] = set()
        for host in hosts:
            try:
                self._networks.append(ipaddress.ip_network(host.strip("[]"), strict=False))
            except ValueError:
                self._names.add(host.lower())

    def permits(self, host: str, address: str) -> bool:
        """Tell whether a callback URL with this host may be reached at this address."""
        if self._any or host.lower() in self._names:
            return True
        parsed = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        if parsed.is_loopback or any(parsed in network for network in self._networks):
            return True
        return str(parsed) in own_addresses()

    def client(self, url: str, also: Callable[[str, str], bool] = lambda host, address: True) -> HttpClient:
        """Return a connection to a callback URL that keeps to the rule, and to another one."""
        return HttpClient(url, permits=lambda host, address: self.permits(host, address) and also(host, address))

    def needs_resolving(self, url: str) -> bool:
        """Tell whether the name service has to be asked about a callback URL before it can be judged.

        Raises
        ------
        WrongUse
            It is no ``http:`` or ``https:`` URL.
        Fault
            Its host is an address that may not be called back.
        """
        host = check_http_url(url).hostname or ""
        if self._any or host.lower() in {*self._names, "localhost"}:
            return False
        try:
            address = str(ipaddress.ip_address(host))
        except ValueError:
            return True
        if not self.permits(host, address):
            raise _refused(host, address)
        return False

    async def resolve(self, url: str) -> None:
        """Ask the name service about a callback URL's host, and judge what it says.

        Raises
        ------
        Fault
            The name is unknown, or leads to a host that may not be called back.
        """
        parts = check_http_url(url)
        host = parts.hostname or ""
        addresses = await _addresses(host, parts)
        if not any(self.permits(host, address) for address in addresses):
            raise _refused(host, addresses[0])


async def _addresses(host: str, parts: SplitResult) -> list[str]:
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(host, parts.port, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Fault(f"the callback URL's host {host} could not be looked up in {RESOLVE_TIMEOUT:g} s") from None
    except (OSError, UnicodeError) as error:
        reason = "it is no name of a host" if isinstance(error, UnicodeError) else error.strerror or error
        raise Fault(f"the callback URL's host {host} cannot be looked up: {reason}") from None
    return [str(each[4][0]) for each in found]


def _refused(host: str, address: str) -> Fault:
    where = host if host == address else f"{host} ({address})"
    return Fault(
        f"the callback URL is on {where}, and this hub calls back its own host only: "
        "start it with --callback-hosts to allow others"
    )
