"""The token by which a browser shows that it is the user's: a secret in a file that the user alone can read."""

import contextlib
import secrets

from hubfarm.registry.files import read_private, write_private
from hubfarm.registry.locks import holding
from hubfarm.registry.paths import Paths
from hubfarm.samp.errors import BadLockFile

_LENGTH = 32


def web_token(paths: Paths) -> str:
    """Return the farm's token; make one, if there is none.

    Raises
    ------
    HubfarmError
        It cannot be made.
    """
    path = paths.web_token
    with holding(path.with_suffix(".lock"), timeout=5.0, by="another process"):
        with contextlib.suppress(OSError, BadLockFile):
            token = read_private(path).strip()
            if len(token) >= _LENGTH and token.isascii() and token.isalnum():
                return token
        token = secrets.token_hex(_LENGTH // 2)
        write_private(path, f"{token}\n")
        return token


def page_address(port: int, token: str) -> str:
    """Return the address of the gateway's page with the token in it, where no request carries it."""
    return f"http://localhost:{port}/hubfarm/#token={token}"
