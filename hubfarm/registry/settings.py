"""What the user has set in a TOML file: how a coordinator is to behave, and what programs need.

The file is ``$HUBFARM_CONFIG``, or ``hubfarm/config.toml`` in ``$XDG_CONFIG_HOME`` or
``~/.config``; without one, the defaults below hold.  A coordinator reads it at its start and again at SIGHUP.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from hubfarm.registry.programs import Need
from hubfarm.samp.errors import HubfarmError, WrongUse

CONFIG_VARIABLE = "HUBFARM_CONFIG"


class AccessSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How people prove who they are.

    Parameters
    ----------
    authenticator : str
        Who checks passwords: ``file``, ``pam``, or one that another package brings; see
        `hubfarm.access.authenticators`.
    users : str
        The users file, for ``file``; empty for the farm's own.
    pam_service : str
        The service in ``/etc/pam.d``, for ``pam``.
    admins : tuple of str
        Users that may enter every hub, for ``pam``.
    options : dict of str to str
        What another package's authenticator needs to know.
    """

    authenticator: str = "file"
    users: str = ""
    pam_service: str = "login"
    admins: tuple[str, ...] = ()
    options: dict[str, str] = {}

    def __post_init__(self) -> None:
        if self.users and not Path(self.users).expanduser().is_absolute():
            raise ValueError(f"access.users is {self.users!r}: it must be an absolute path")


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What the file may set.

    Parameters
    ----------
    late_beats : int
        Heartbeats that a worker may miss before it counts as hung, is killed and replaced.
    sweep_every : float
        Between two sweeps of what dead hubs left, seconds.
    metrics : str
        ``ADDRESS:PORT`` of a Prometheus endpoint on TCP; empty for none.
    programs : dict of str to Need
        What programs need to be led to a hub, by name; beside those of `hubfarm.registry.programs`.
    access : AccessSettings
        How people prove who they are.
    """

    late_beats: int = 5
    sweep_every: float = 60.0
    metrics: str = ""
    programs: dict[str, Need] = {}
    access: AccessSettings = AccessSettings()

    def __post_init__(self) -> None:
        if self.late_beats < 2:
            raise ValueError(f"late_beats is {self.late_beats}: it must be 2 or more")
        if not 1 <= self.sweep_every <= 3.2e9:
            raise ValueError(f"sweep_every is {self.sweep_every}: it must be 1 or more, seconds")
        host, colon, port = self.metrics.rpartition(":")
        if self.metrics and not (host and colon and port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError(f"metrics is {self.metrics!r}: write ADDRESS:PORT, as 127.0.0.1:9464")


def settings_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the file is looked for."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    base = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config"
    return Path(base) / "hubfarm" / "config.toml"


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the file, or return the defaults if there is none.

    Raises
    ------
    WrongUse
        Something in it is wrong; the message says what.
    HubfarmError
        It cannot be read.
    """
    path = settings_path(environ)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        if environ.get(CONFIG_VARIABLE):
            raise WrongUse(f"{CONFIG_VARIABLE} names {path}, and there is no such file") from None
        return Settings()
    except OSError as error:
        raise HubfarmError(f"cannot read {path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise WrongUse(f"{path}: {error}") from None
