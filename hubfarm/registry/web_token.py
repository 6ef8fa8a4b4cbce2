"""The token by which a browser shows that it is the user's: a secret in a file that the user alone can read.

It is another each time that the web's port is taken: while the farm did not have it, another account may have, and a
page of ours that was still open has shown its token to whoever answered there.
"""

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
        return _new(paths)


def renew_web_token(paths: Paths) -> None:
    """Make another token; the one before opens nothing any more.

    Raises
    ------
    HubfarmError
        It cannot be made.
    """
    with holding(paths.web_token.with_suffix(".lock"), timeout=5.0, by="another process"):
        _new(paths)


def _new(paths: Paths) -> str:
    token = secrets.token_hex(_LENGTH // 2)
    write_private(paths.web_token, f"{token}\n")
    return token


def page_address(port: int, token: str) -> str:
    """Return the address of the gateway's page with the token in it, where no request carries it."""
    return f"http://localhost:{port}/hubfarm/#token={token}"
