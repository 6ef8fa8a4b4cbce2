"""One hub as it is to be: what was asked for, under its id, with what a successor needs to go on.

A `HubSpec` travels from the coordinator to the worker, and is read back from the lock file when hubs are listed.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, get_origin
from urllib.parse import quote, unquote, urlsplit

import msgspec

from hubfarm.samp import lockfile
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.access import Rule
from hubfarm.spec.limits import Limits
from hubfarm.spec.options import FIRST_RELEASE, Carried, HubOptions, fields_of


class HubSpec(HubOptions, frozen=True, kw_only=True):
    """What one hub is to be.

    Parameters
    ----------
    id : int
        The hub's number on this host, restarts included.
    secret : str
        Admits a client to ``register``.
    restarts : int
        How often it has been started again.
    fell : bool
        Its last worker fell of itself: it hung, or crashed without being killed.
    origin : str
        A digest of the path of the farm file that declares it; empty for none.
    **options
        As `HubOptions` has them.

    Raises
    ------
    WrongUse
        A value cannot be.
    """

    id: Annotated[int, Carried(tokens=("hubfarm.id",))]
    secret: str = ""
    restarts: Annotated[int, Carried(tokens=("hubfarm.restarts",))] = 0
    fell: bool = False
    origin: Annotated[str, Carried(tokens=("hubfarm.origin",))] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rule  # noqa: B018  # refuses what would admit nobody
        self._check_tls()

    def _check_tls(self) -> None:
        without = [name for name in ("cert_file", "key_file", "client_ca", "need_client_cert") if getattr(self, name)]
        if without and not self.tls:
            raise WrongUse(f"--{without[0].replace('_', '-')} is for a hub that speaks TLS: say --tls too")
        if self.key_file and not self.cert_file:
            raise WrongUse("a private key is given, and no certificate: say --cert-file too")
        if self.need_client_cert and not self.client_ca:
            raise WrongUse("certificates of clients are needed, and nobody signs them: say --client-ca too")

    @property
    def rule(self) -> Rule:
        """Who may enter."""
        return Rule(access=self.access, owner=self.owner, group=self.group, allow=self.allow)

    @classmethod
    def of(cls, options: HubOptions, **more: Any) -> "HubSpec":
        """Return the hub of these options; `more` are the other parameters, and options that differ."""
        return cls(**{name: getattr(options, name) for name in HubOptions.__struct_fields__} | more)

    def __repr__(self) -> str:
        return f"HubSpec(id={self.id}, label={self.label!r})"  # a secret has no place in a log

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("id", self.id), ("label", self.label)]

    @property
    def name(self) -> str:
        """What logs and errors call the hub: its label, or ``hub-<id>`` without one."""
        return self.label or f"hub-{self.id}"

    def tokens(self) -> dict[str, str]:
        """Return the lock-file tokens that carry this, secret and port excepted."""
        return {token: _write(getattr(self, field.name)) for field in fields_of(HubSpec) for token in field.how.tokens}

    @classmethod
    def from_tokens(cls, tokens: Mapping[str, str]) -> "HubSpec":
        """Read back what `tokens` wrote, the secret, and the port from the URL.

        Raises
        ------
        WrongUse
            A token of the farm's is missing or malformed.
        """
        try:
            found = {
                field.name: _read(field.type, tokens[field.how.tokens[0]])
                for field in fields_of(cls)
                if field.how.tokens and (field.how.tokens[0] in tokens or field.how.since == FIRST_RELEASE)
            }
            port = urlsplit(tokens.get(lockfile.URL, "")).port or 0
            return cls(secret=tokens[lockfile.SECRET], port=port, **found)
        except (KeyError, ValueError) as error:
            raise WrongUse(f"the lock file's hubfarm tokens are damaged: {error}") from None

    def successor(self, *, fell: bool = False) -> "HubSpec":
        """Return the same hub, restarted once more; `fell` tells whether its last worker fell of itself."""
        return msgspec.structs.replace(self, restarts=self.restarts + 1, fell=fell)


def in_the_clear(name: str, host: str) -> str:
    """Return the warning about a hub that listens on an outside address without TLS."""
    return (
        f"{name} listens on {host} without TLS: whoever is on the way can read and change its secrets, passwords and "
        "messages; --tls prevents that"
    )


def _write(value: Any) -> str:
    match value:
        case Limits():
            return " ".join(value.write()).replace("=", ":")
        case tuple():
            return " ".join(re.sub(r"[%\s]", lambda found: quote(found[0]), each) for each in value)
        case bool():
            return "yes" if value else "no"
        case float():
            return write_seconds(value)
    return str(value)


def _read(kind: Any, text: str) -> Any:
    if kind is Limits:
        return Limits.parse(text.replace(":", "=").split())
    if get_origin(kind) is tuple:
        return tuple(map(unquote, text.split()))
    if kind is bool:
        return {"yes": True, "no": False}[text]
    if issubclass(kind, StrEnum):
        return kind(text)
    return kind(text)


def write_seconds(value: float) -> str:
    """Return a time span exactly, and as people write it: 3600, not 3600.0, and not 1e+06 for 1000001."""
    return repr(float(value)).removesuffix(".0")
