"""What can go wrong for a client, as classes that programs of astropy's line catch already.

astropy's and pyvo's classes let errors of their own insides out (`AttributeError` of a proxy that is
None, `KeyError` of a dict, `ConnectionRefusedError` of a socket), and their callers have learned to
catch those.  Ours are named for what happened, and are those too.
"""

import xmlrpc.client

from hubfarm.samp.errors import Fault, WrongUse
from hubfarm.samp.toolkit import SAMPClientError, SAMPHubError


class SAMPHubUnreachable(SAMPHubError, ConnectionRefusedError):
    """The hub does not answer: it has gone, or is too slow."""


class SAMPHubNotNamed(SAMPHubError, WrongUse):
    """What was given names no hub, or more than one."""


class SAMPNotConnected(SAMPClientError, SAMPHubError, AttributeError):
    """What was asked for needs a hub, and there is none."""


class SAMPNothingBound(SAMPClientError, KeyError, AttributeError):
    """Nothing is bound to what was to be unbound.

    astropy raises `AttributeError` before the first connection, and `KeyError` after it.
    """

    __str__ = Exception.__str__  # KeyError's shows its message in quotes


class SAMPProxyError(Fault, xmlrpc.client.Fault):
    """The hub answered with a fault.

    Parameters
    ----------
    faultCode : int
        The hub's number for it; SAMP gives it no meaning.
    faultString : str
        What was wrong.
    """

    def __init__(self, faultCode: int, faultString: str) -> None:
        xmlrpc.client.Fault.__init__(self, faultCode, faultString)
        self.code, self.text = faultCode, faultString

    def __str__(self) -> str:
        return self.faultString

    def __reduce__(self) -> "tuple[type[SAMPProxyError], tuple[int, str]]":  # type: ignore[override]
        return SAMPProxyError, (self.faultCode, self.faultString)
