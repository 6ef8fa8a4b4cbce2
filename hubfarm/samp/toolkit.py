"""What the Python toolkits of SAMPY's line have in common: constants, errors, the names of 2008.

SAMPY (2008), astropy.samp and pyvo.samp after it share one API, which `hubfarm.worker.embedded`
and `hubfarm.client` offer too: so that a program moves to us by changing an import.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from hubfarm.samp.errors import HubfarmError

SAMP_STATUS_OK = "samp.ok"
SAMP_STATUS_WARNING = "samp.warning"
SAMP_STATUS_ERROR = "samp.error"

SAMP_HUB_SINGLE_INSTANCE = "single"
"""The mode of the standard's one hub, whose lock file is ``~/.samp``."""
SAMP_HUB_MULTIPLE_INSTANCE = "multiple"
"""The mode of a hub among others, in ``~/.samp-1``."""


class SAMPWarning(UserWarning):
    """Something a program should know, and can go on."""


class SAMPHubError(HubfarmError):
    """A hub cannot be found, started or reached."""


class SAMPClientError(HubfarmError):
    """A client was asked for what it cannot do as it is."""


_METHODS = [
    "getRunningHubs",
    "setXmlrpcCallback",
    "declareMetadata",
    "getMetadata",
    "declareSubscriptions",
    "getSubscriptions",
    "getRegisteredClients",
    "getSubscribedClients",
    "notifyAll",
    "enotifyAll",
    "callAll",
    "ecallAll",
    "callAndWait",
    "ecallAndWait",
    "receiveNotification",
    "receiveCall",
    "receiveResponse",
    "bindReceiveMessage",
    "bindReceiveNotification",
    "bindReceiveCall",
    "bindReceiveResponse",
    "unbindReceiveNotification",
    "unbindReceiveCall",
    "unbindReceiveResponse",
    "getPrivateKey",
    "getPublicId",
]
_QUESTIONS = ["isConnected", "isRunning", "isRegistered"]
"""Methods in 2008, properties since."""

ORIGINAL_NAMES = {name: "".join(f"_{c.lower()}" if c.isupper() else c for c in name) for name in _METHODS + _QUESTIONS}
"""The names of 2008, and those of today."""

T = TypeVar("T")


def with_original_names(cls: type[T]) -> type[T]:
    """Give a class the names of 2008 for the methods that it has; a decorator.

    What a subclass overrides, it overrides under both names.

    Examples
    --------
    >>> @with_original_names
    ... class Proxy:
    ...     def call_and_wait(self): return "called"
    ...     is_connected = property(lambda self: True)
    >>> Proxy().callAndWait(), Proxy().isConnected()
    ('called', True)
    """
    for original, name in ORIGINAL_NAMES.items():
        if hasattr(cls, name):
            setattr(cls, original, _alias(original, name))
    return cls


def _alias(original: str, name: str) -> Callable[..., Any]:
    def alias(self: object, *args: Any, **kwargs: Any) -> Any:
        found = getattr(self, name)
        return found if original in _QUESTIONS else found(*args, **kwargs)

    alias.__name__ = alias.__qualname__ = original
    alias.__doc__ = f"`{name}`, by its name of 2008."
    return alias
