"""What opens a hub's further doors, by the hub's secret: to the web's gateway, and to who watches the hub."""

import hmac

DOOR = "X-Hubfarm-Door"
ORIGIN = "X-Hubfarm-Origin"
TICKET = "X-Hubfarm-Ticket"
"""Where who watches says by which ticket, if the hub does not let in everybody."""


def door_credential(secret: str) -> str:
    """Return what opens the web's door of the hub with this secret."""
    return hmac.digest(secret.encode(), b"hubfarm web door", "sha256").hex()


def watch_credential(secret: str) -> str:
    """Return what opens the door for watchers of the hub with this secret."""
    return hmac.digest(secret.encode(), b"hubfarm watch door", "sha256").hex()


def hub_token(secret: str) -> str:
    """Return what the private keys of pages on the hub with this secret begin with."""
    return hmac.digest(secret.encode(), b"hubfarm web keys", "sha256").hex()[:16]
