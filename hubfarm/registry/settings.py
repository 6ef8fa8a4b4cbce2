"""What is set in TOML files: how a coordinator is to behave, what programs need, what hubs take.

The user's file is ``$HUBFARM_CONFIG``, or ``hubfarm/config.toml`` in ``$XDG_CONFIG_HOME`` or ``~/.config``; below it is
the administrator's, ``/etc/hubfarm/config.toml``, for all accounts.  A coordinator reads them at its start and again at
SIGHUP.  They are settings and no fences: an account runs its own processes, and may set its own.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from hubfarm.registry.programs import Need
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.limits import Limits
from hubfarm.spec.origins import check_origin
from hubfarm.spec.toml_file import in_our_words, line_of, load_toml

CONFIG_VARIABLE = "HUBFARM_CONFIG"
WEB_PORT_VARIABLE = "HUBFARM_WEB_PORT"
"""Another port for web pages, which goes before the files'; 0 for none."""
SYSTEM_VARIABLE = "HUBFARM_SYSTEM_CONFIG"
SYSTEM_SETTINGS = Path("/etc/hubfarm/config.toml")


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


WEB_PORT = 21012
"""Where web pages look for a hub (SAMP 1.3, 5.2)."""


class WebSettings(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """How web pages come to the hubs.

    Parameters
    ----------
    on : bool
        They may, unless ``hubfarm web off`` says otherwise.
    port : int
        Where they look; only tests use another than 21012.
    idle : float
        The gateway ends after so long without a page, seconds.
    patience : float
        A page that asks and gets no answer is refused after so long, seconds.
    browser, notify : bool
        Whether a question is shown in the user's browser, and as a notification of the desktop, where there is one.
    trusted : dict of str to str
        Origins that are let in unasked, and each one's hub: its label.
    """

    on: bool = True
    port: int = WEB_PORT
    idle: float = 600.0
    patience: float = 60.0
    browser: bool = True
    notify: bool = True
    trusted: dict[str, str] = {}

    def __post_init__(self) -> None:
        if not 0 < self.port < 65536:
            raise ValueError(f"web.port is {self.port}: it must be 1 to 65535")
        for name, least in (("idle", 1.0), ("patience", 1.0)):
            if not least <= getattr(self, name) <= 3.2e9:
                raise ValueError(f"web.{name} is {getattr(self, name)}: it must be {least:g} or more, seconds")
        for origin in self.trusted:
            if (usual := check_origin(origin)) != origin:
                raise ValueError(f"web.trusted names {origin!r}: write it as {usual}")


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
    limits : Limits
        How much hubs take for which nothing else is asked.
    web : WebSettings
        How web pages come to the hubs.
    """

    late_beats: int = 5
    sweep_every: float = 60.0
    metrics: str = ""
    programs: dict[str, Need] = {}
    access: AccessSettings = AccessSettings()
    limits: Limits = Limits()
    web: WebSettings = WebSettings()

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


def system_settings_path(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where the administrator's file is looked for."""
    return Path(environ.get(SYSTEM_VARIABLE) or SYSTEM_SETTINGS)


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the user's file above the administrator's; the defaults hold for what neither sets.

    Raises
    ------
    WrongUse
        Something in one is wrong; the message says what, and in which line.
    HubfarmError
        One cannot be read, or the administrator's may be written by others.
    """
    path = settings_path(environ)
    own = _read(path)
    if own is None and environ.get(CONFIG_VARIABLE):
        raise WrongUse(f"{CONFIG_VARIABLE} names {path}, and there is no such file")
    below = _read(system_settings_path(environ), of_system=True)
    return _with_port(msgspec.convert(_over(own or {}, below or {}), Settings), environ)


def _over(own: dict[str, Any], below: dict[str, Any]) -> dict[str, Any]:
    """Return what two files set together: of tables what either sets, and of all else what the user does."""
    tables = {name: _over(own[name], each) for name, each in below.items() if isinstance(own.get(name), dict)}
    return below | own | tables


def _read(path: Path, *, of_system: bool = False) -> dict[str, Any] | None:
    """Return what a file sets, once it is known to be right; None if there is none."""
    try:
        with open(path, "rb") as file:
            if of_system:
                _check_owner(path, os.fstat(file.fileno()))
            text = file.read().decode()
        return _checked(text)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HubfarmError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise WrongUse(f"{path} is no text in UTF-8: see byte {error.start}") from None
    except WrongUse as error:
        raise WrongUse(f"{path}: {error}") from None


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid not in (0, os.getuid()) or status.st_mode & 0o022:
        raise HubfarmError(
            f"{path} holds for all accounts, so it must be root's and writable by nobody else: "
            f"chown root {path} && chmod go-w {path}"
        )


def _checked(text: str) -> dict[str, Any]:
    table = load_toml(text)
    _check_names(text, "", table, Settings)
    try:
        msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        said = in_our_words(str(error))
        named = next((key for key in _keys(table) if re.search(rf"\b{re.escape(key)}\b", said)), "")
        raise WrongUse(f"{line_of(text, named)}{said}") from None
    return table


def _check_names(text: str, table: str, given: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Refuse what is no setting, and a word that is none of those which a setting may be."""
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    header = f"[{table}]" if table and f"[{table}]" in text else ""
    for name, value in given.items():
        where = line_of(text, name, header) or line_of(text, table)
        if name not in types:
            inside = f" in [{table}]" if table else ""
            raise WrongUse(f"{where}there is no setting {name!r}{inside}: there are {', '.join(types)}")
        if isinstance(value, dict) and isinstance(types[name], type) and issubclass(types[name], msgspec.Struct):
            _check_names(text, name, value, types[name])
        if name == "programs" and isinstance(value, dict):
            for program, need in value.items():
                if need not in list(Need):
                    where = line_of(text, program, "[programs]")
                    raise WrongUse(f"{where}{program} is {need!r}: it must be one of {', '.join(Need)}")


def _keys(table: dict[str, Any]) -> list[str]:
    """Return the names in a table and in those in it, the innermost first."""
    inner = [key for value in table.values() if isinstance(value, dict) for key in _keys(value)]
    return [*inner, *table]


def _with_port(settings: Settings, environ: Mapping[str, str]) -> Settings:
    port = environ.get(WEB_PORT_VARIABLE, "")
    if not port:
        return settings
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise WrongUse(f"{WEB_PORT_VARIABLE} is {port!r}: it must be a port, or 0 for none")
    web = settings.web
    web = msgspec.structs.replace(web, port=int(port)) if int(port) else msgspec.structs.replace(web, on=False)
    return msgspec.structs.replace(settings, web=web)
