"""hubfarm as a service of systemd: an account's own, or a template that an administrator starts for accounts.

The texts of what is written lie in ``systemd/``, but for that of the shared directory, which is `hubfarm.access`'s.
What bears another text than ours is somebody else's, and is left.  systemd is asked for nothing where it does not run,
so that the image of a host can be made with this too.
"""

import contextlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from pathlib import Path

from hubfarm.registry.settings import settings_path
from hubfarm.samp.errors import HubfarmError, WrongUse

USER_UNIT, SYSTEM_UNIT, TMPFILES = "hubfarm.service", "hubfarm@.service", "hubfarm.conf"
"""What is written, by the name of its text."""

FARMS = Path("/etc/hubfarm/farms")
"""Where an administrator puts the farm file of an account, ``<account>.toml``."""

RUNS = Path("/run/systemd/system")
"""A directory that is there if systemd runs this host (sd_booted(3))."""

NOT_THERE = "systemd does not run here, so nothing starts this by itself; the service is: {command}"

SYSTEMCTL_TIMEOUT = 120.0
"""How long systemctl may take, seconds: a stop waits for the hubs' clients."""

_EMPTY_FARM = """\
# The hubs of this farm; hubfarm up --help says more. After a change: {reload}
# [[hub]]
# group = "mima"
# count = 4
"""

_OURS = '# Written by "hubfarm service install'


class Did(StrEnum):
    """What was done about something."""

    WROTE = "wrote"
    MADE = "made"
    REMOVED = "removed"
    RAN = "ran"
    ENDED = "ended"
    FAILED = "failed"

    @property
    def infinitive(self) -> str:
        """The word for what would be done."""
        return {"wrote": "write", "made": "make", "removed": "remove", "ended": "end"}.get(self, "run")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, or would be.

    Parameters
    ----------
    did : Did
        What.
    what : str
        A path, a command, or why it failed.
    text : str
        What was written.
    """

    did: Did
    what: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """How it stands with the service.

    Parameters
    ----------
    unit : Path
        Its file.
    installed : bool
        Whether that is there, and was written by us.
    command : str
        What it runs; empty if it is not installed.
    enabled, active : str
        What systemctl says; empty where systemd does not run.
    lingers : bool
        Whether an account's service runs while nobody is logged in.
    """

    unit: Path
    installed: bool
    command: str
    enabled: str
    active: str
    lingers: bool


class Service:
    """The service of this account, or the template for all.

    Parameters
    ----------
    system : bool
        The template for all accounts.
    root : Path
        What is written lies below it; below another directory than ``/`` systemd is told nothing.
    environ : mapping of str to str
        Where the account's files lie.
    """

    def __init__(
        self, *, system: bool = False, root: Path = Path("/"), environ: Mapping[str, str] = os.environ
    ) -> None:
        self.system = system
        self._root = root
        self._config = settings_path({**environ, "HUBFARM_CONFIG": ""}).parent
        self.unit = self._below(
            Path("/etc/systemd/system", SYSTEM_UNIT) if system else self._config.parent / "systemd" / "user" / USER_UNIT
        )
        self._tmpfiles = self._below(Path("/etc/tmpfiles.d", TMPFILES))
        self._systemctl = ["systemctl"] if system else ["systemctl", "--user"]

    def _below(self, path: Path) -> Path:
        return self._root / path.relative_to("/")

    @property
    def runs_here(self) -> bool:
        """Whether there is a systemd to be told."""
        return self._root == Path("/") and RUNS.is_dir() and shutil.which("systemctl") is not None

    @property
    def farm_file(self) -> Path:
        """The farm file that it is started with, unless another is named; of the template, for ``%i``."""
        return FARMS / "%i.toml" if self.system else self._config / "farm.toml"

    # ------------------------------------------------------------------ install

    def install(
        self,
        farm_file: Path | None = None,
        *,
        dry_run: bool = False,
        start: bool = True,
        end_coordinator: Callable[[], int | None] = lambda: None,
    ) -> list[Step]:
        """Write what makes hubfarm a service, and start that of an account; return what was done.

        Parameters
        ----------
        farm_file : Path, optional
            The farm file that an account's service is started with; one that is not there is made, without hubs.
        dry_run : bool
            Only return it.
        start : bool
            Enable and start it, where systemd runs.
        end_coordinator : callable
            Ends the coordinator that runs already, and returns its process: the service adopts its hubs.

        Raises
        ------
        WrongUse
            The template takes no farm file, or other accounts could not run this hubfarm.
        HubfarmError
            Something is in the way, or cannot be written.
        """
        if self.system and farm_file is not None:
            raise WrongUse(f"the template takes no farm file: each account has its own, {FARMS}/ACCOUNT.toml")
        command = own_command()
        if self.system:
            check_others_can_run(command)
        farm = Path(os.path.abspath(farm_file)) if farm_file else self.farm_file
        filled = {"command": _command_line(command), "farm_file": quoted(str(farm), specifiers=self.system)}
        unit = _text(self.unit.name).format_map(filled)
        steps = [self._write(self.unit, unit, dry_run)]
        if self.system:
            steps.append(self._write(self._tmpfiles, _text(TMPFILES), dry_run))
            steps += self._make(self._below(FARMS), dry_run)
        elif not farm.exists():
            reload = "systemctl --user reload hubfarm"
            steps.append(self._write(farm, _EMPTY_FARM.format(reload=reload), dry_run))
        if self.runs_here:
            steps += self._started(dry_run, start, end_coordinator)
        return steps

    def _started(self, dry_run: bool, start: bool, end_coordinator: Callable[[], int | None]) -> list[Step]:
        steps = [self._run([*self._systemctl, "daemon-reload"], dry_run)]
        if self.system:
            steps.append(self._run(["systemd-tmpfiles", "--create", str(self._tmpfiles)], dry_run))
        elif start and steps[0].did is not Did.FAILED:
            pid = None if dry_run or self._ask("is-active") == "active" else end_coordinator()
            if pid is not None:
                steps.append(
                    Step(Did.ENDED, f"the coordinator, process {pid}: its hubs serve on, the service has them")
                )
            steps.append(self._run([*self._systemctl, "enable", "--now", USER_UNIT], dry_run))
        return steps

    def _write(self, path: Path, text: str, dry_run: bool) -> Step:
        _check_ours(path)
        if not dry_run:
            write_for_all(path, text) if self.system else write_for_all(path, text, mode=0o600)
        return Step(Did.WROTE, str(path), text)

    def _make(self, directory: Path, dry_run: bool) -> list[Step]:
        if directory.is_dir():
            return []
        if not dry_run:
            _make_directory(directory)
        return [Step(Did.MADE, str(directory))]

    # ------------------------------------------------------------------ uninstall

    def uninstall(self, *, dry_run: bool = False) -> list[Step]:
        """End the service and its hubs, and remove what `install` wrote but for farm files; return what was done.

        Parameters
        ----------
        dry_run : bool
            Only return it.

        Raises
        ------
        HubfarmError
            It is somebody else's, cannot be removed, or runs for an account.
        """
        steps: list[Step] = []
        if self.runs_here and self.unit.exists():
            if self.system:
                self._check_none_runs()
            else:
                steps.append(self._run([*self._systemctl, "disable", "--now", USER_UNIT], dry_run))
        for path in [self.unit, *([self._tmpfiles] if self.system else [])]:
            if os.path.lexists(path):
                _check_ours(path)
                if not dry_run:
                    _unlink(path)
                steps.append(Step(Did.REMOVED, str(path)))
        if steps and self.runs_here:
            steps.append(self._run([*self._systemctl, "daemon-reload"], dry_run))
        return steps

    def _check_none_runs(self) -> None:
        command = ["systemctl", "list-units", "--plain", "--no-legend", "hubfarm@*.service"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT)
        running = [line.split()[0] for line in done.stdout.splitlines() if line.split()]
        if running:
            raise HubfarmError(f"it runs for accounts: systemctl disable --now {' '.join(running)}")

    # ------------------------------------------------------------------ status

    def status(self) -> ServiceStatus:
        """Return how it stands with the service."""
        text = _read(self.unit)
        ours = text is not None and text.startswith(_OURS)
        lines = (text or "").splitlines()
        command = next((line.partition("=")[2] for line in lines if line.startswith("ExecStart=")), "")
        runs = self.runs_here and ours and not self.system
        return ServiceStatus(
            self.unit,
            ours,
            command if ours else "",
            self._ask("is-enabled") if runs else "",
            self._ask("is-active") if runs else "",
            os.path.exists(f"/var/lib/systemd/linger/{_account()}"),
        )

    def _ask(self, verb: str) -> str:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            command = [*self._systemctl, verb, USER_UNIT]
            done = subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT)
            return done.stdout.strip() or done.stderr.strip()
        return ""

    def _run(self, command: list[str], dry_run: bool) -> Step:
        said = " ".join(command)
        if dry_run:
            return Step(Did.RAN, said)
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=SYSTEMCTL_TIMEOUT, check=True)
        except subprocess.CalledProcessError as failed:
            return Step(Did.FAILED, f"{said}: {' '.join(failed.stderr.split()) or f'exit code {failed.returncode}'}")
        except (OSError, subprocess.TimeoutExpired) as error:
            return Step(Did.FAILED, f"{said}: {error}")
        return Step(Did.RAN, said)


# ---------------------------------------------------------------------- which hubfarm


def own_command() -> list[str]:
    """Return what runs this hubfarm from anywhere: the command that was typed, or its interpreter and module."""
    for typed in (shutil.which(sys.argv[0]), str(Path(sys.executable).with_name("hubfarm"))):
        if typed and Path(typed).name == "hubfarm" and os.access(typed, os.X_OK):
            return [os.path.abspath(typed)]
    return [sys.executable, "-m", "hubfarm"]


def check_others_can_run(command: list[str]) -> None:
    """Refuse a command that lies where other accounts do not get to, or whose Python does.

    Raises
    ------
    WrongUse
        It does; the message names the place.
    """
    programs = [Path(command[0]), Path(sys.executable)]
    for path in [*programs, *(each.resolve() for each in programs)]:
        for place in (*reversed(path.parents), path):
            mode = place.stat().st_mode
            if not mode & stat.S_IXOTH:
                raise WrongUse(
                    f"other accounts cannot run {path}: {place} is closed to them (mode {stat.S_IMODE(mode):04o}); "
                    "install hubfarm where they can, as in /opt/hubfarm"
                )


def _command_line(command: list[str]) -> str:
    """Return a command as ExecStart takes it; of a program's own name it takes little, so env(1) runs odd ones."""
    if not re.fullmatch(r"[\w/.+-]+", command[0], re.ASCII):
        command = ["/usr/bin/env", *command]
    return " ".join(map(quoted, command))


def quoted(word: str, *, specifiers: bool = False) -> str:
    """Return a word as a unit's ExecStart takes it (systemd.service(5), systemd.unit(5)).

    Parameters
    ----------
    word : str
        The word.
    specifiers : bool
        Whether a ``%`` in it is one of systemd's.

    Examples
    --------
    >>> quoted("/home/luigi/50% done"), quoted("/usr/bin/hubfarm")
    ('"/home/luigi/50%% done"', '/usr/bin/hubfarm')
    """
    safe = word if specifiers else word.replace("%", "%%")
    safe = safe.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    return f'"{safe}"' if any(each in word for each in " \t'\"\\;") else safe


# ---------------------------------------------------------------------- files


def _text(name: str) -> str:
    if name == TMPFILES:
        from hubfarm.access.shared import TMPFILES as snippet

        return f'{_OURS} --system"\n{snippet.read_text(encoding="utf-8")}'
    return files("hubfarm.farm").joinpath("systemd", name).read_text(encoding="utf-8")


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _check_ours(path: Path) -> None:
    """Refuse to touch a file that we did not write.

    Raises
    ------
    HubfarmError
        It is none of ours.
    """
    if os.path.lexists(path) and not (_read(path) or "").startswith(_OURS):
        raise HubfarmError(f"{path} was not written by hubfarm service install: move it away")


def write_for_all(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file whole, and make the directories above it that are missing.

    Raises
    ------
    HubfarmError
        It cannot be written.
    """
    _make_directory(path.parent)
    temporary = path.with_name(f".new-{path.name}")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(descriptor, mode)  # whatever the umask
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise HubfarmError(f"cannot write {path}: {error.strerror}") from None


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise HubfarmError(f"cannot make the directory {directory}: {error.strerror}") from None


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HubfarmError(f"cannot remove {path}: {error.strerror}") from None


def _account() -> str:
    with contextlib.suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_name
    return str(os.getuid())
