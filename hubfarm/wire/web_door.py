"""What the web's gateway and a hub know of each other by the hub's secret: how its door is opened, whose a key is."""

import hmac

DOOR = "X-Hubfarm-Door"
ORIGIN = "X-Hubfarm-Origin"


def door_credential(secret: str) -> str:
    """Return what opens the web's door of the hub with this secret."""
    return hmac.digest(secret.encode(), b"hubfarm web door", "sha256").hex()


def hub_token(secret: str) -> str:
    """Return what the private keys of pages on the hub with this secret begin with."""
    return hmac.digest(secret.encode(), b"hubfarm web keys", "sha256").hex()[:16]
