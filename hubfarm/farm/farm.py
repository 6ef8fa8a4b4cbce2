"""`Farm`: the Python face of the hubs on this host.  The command line says nothing that it can't.

Listing reads the registry only and asks no hub of ours; starting and stopping ask the
coordinator, which is started when it is needed.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubfarm.farm.ending import OTHERS, STOP_TIMEOUT, Ender, may_be_ended, wait_until_free
from hubfarm.registry.asleep import some_sleep
from hubfarm.registry.history import Ending, read_history
from hubfarm.registry.listing import HubInfo, ended_hubs, found_hubs
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.locks import guard_is_held
from hubfarm.registry.paths import Paths
from hubfarm.registry.select import select, with_names
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.lockfile import URL, file_path, lock_url, parse_samp_hub
from hubfarm.spec.checks import check_seconds
from hubfarm.spec.states import Access, HubKind, HubState
from hubfarm.visible import brief, span

# What is imported further below, where it is needed, `hubfarm ls` need not pay for: msgspec and psutil, 10 ms each.
if TYPE_CHECKING:
    from hubfarm.access.users import Users
    from hubfarm.control.client import ControlClient
    from hubfarm.control.protocol import CoordinatorStatus, HubStatus
    from hubfarm.farm.bridging import FarmBridges
    from hubfarm.farm.connecting import FarmConnections
    from hubfarm.farm.entering import Login, Shared
    from hubfarm.farm.removal import Remain
    from hubfarm.farm.upgrade import Part
    from hubfarm.farm.web import Web
    from hubfarm.registry.sweep import Verdict
    from hubfarm.registry.tickets import Tickets
    from hubfarm.spec.farm_file import Change, FarmFile
    from hubfarm.spec.hub_request import HubRequest
    from hubfarm.spec.hub_spec import HubSpec

__all__ = ["Farm", "HubInfo"]

LOGIN_LASTS = 12 * 3600.0
"""How long a ticket counts, if nobody says otherwise, seconds: a night's work."""


SHARE_LASTS = 8 * 3600.0
"""Likewise a share, seconds."""

_PASSIVE = {"restart": "be restarted", "sleep": "sleep", "wake": "be woken"}


class Farm:
    """The hubs of one user on this host.

    Parameters
    ----------
    paths : Paths, optional
        Where the farm's files lie; by default as the environment says.

    Raises
    ------
    HubfarmError
        One of its directories is not to be trusted; see `Paths.check_trusted`.

    Examples
    --------
    >>> farm = Farm()
    >>> [hub.label for hub in farm.start(count=2, group="mima")]
    ['mima-1', 'mima-2']
    >>> farm.find("mima-2").state == "running"
    True
    >>> farm.stop(everything=True, coordinator=True)
    ['mima-1', 'mima-2']
    """

    def __init__(self, paths: Paths | None = None) -> None:
        self.paths = (paths or Paths.from_environment()).check_trusted()
        self._lockdir = LockDir(self.paths)

    def __repr__(self) -> str:
        return f"<Farm in {brief(str(self.paths.lockdir), 160)}>"

    def _repr_html_(self) -> str:
        from hubfarm import html

        try:
            hubs = self.hubs()
        except HubfarmError as error:
            return html.facts(repr(self), {"problem": error})
        columns = ("id", "label", "owner", "group", "state", "clients", "messages", "idle", "url")
        rows = [
            [
                *(hub.id, hub.label, hub.owner, hub.group, html.state(hub.state, hub.alive)),
                *(hub.clients, hub.messages, span(hub.idle), hub.url or hub.problem),
            ]
            for hub in hubs
        ]
        return html.table(columns, rows, f"{len(hubs)} hub{'' if len(hubs) == 1 else 's'} in {self.paths.lockdir}")

    # ------------------------------------------------------------------ listing

    def hubs(self, *, everything: bool = False) -> list[HubInfo]:
        """List the hubs that run: ours by their guards, foreign ones if they answer, and those shared by others.

        Hubs that have failed since a day are listed too, until a hub takes their label.

        Parameters
        ----------
        everything : bool
            Also list lock files of dead and silent hubs, hubs of other hosts, and hubs that
            have ended since a day.

        Raises
        ------
        HubfarmError
            The lock directory or the state table cannot be read.
        """
        self._bring_sleepers_back()
        hubs = found_hubs(self._lockdir, self._ask)
        if os.path.isdir(self.paths.shared):
            from hubfarm.access.shared import shared_hubs  # brings msgspec

            hubs += shared_hubs(self.paths)
        ended = ended_hubs(self.paths, {hub.label for hub in hubs if hub.alive})
        if everything:
            return hubs + ended
        return [hub for hub in hubs if hub.alive] + [hub for hub in ended if hub.state is HubState.FAILED]

    def history(self) -> list[Ending]:
        """Return what has ended when and why, the oldest first."""
        return read_history(self.paths)

    def _ask(self, urls: Collection[str]) -> Collection[str]:
        if not urls:
            return ()
        from hubfarm.access.genuine import objection
        from hubfarm.client.discovery import answering_hubs  # brings asyncio: only for foreign hubs

        # The lock files are ours, and so were their hubs: no program is led to another account that has their port.
        return answering_hubs([url for url in urls if not objection({URL: url}, os.getuid())])

    def find(self, selector: str) -> HubInfo:
        """Return the one running hub that `selector` names.

        Parameters
        ----------
        selector : str
            An id, a label or its unique beginning, or a ``PID-ID``; for a foreign hub a label,
            a ``PID-ID`` or its lock file's path.

        Raises
        ------
        WrongUse
            No hub or more than one is meant; the message lists them.
        """
        return select([hub for hub in self.hubs() if hub.alive], selector)

    # ------------------------------------------------------------------ starting

    def start(
        self,
        *,
        log_level: str = "INFO",
        progress: Callable[[str], None] = lambda label: None,
        **options: Any,
    ) -> list[HubInfo]:
        """Start hubs, all or none, and return them once every one serves.

        Starts the coordinator if none runs.

        Parameters
        ----------
        log_level : str
            What a coordinator that has to be started, and its hubs, log.
        progress : callable
            Told the label of each hub as it serves.
        **options
            ``count``, and all that may be asked of a hub; see `hubfarm.spec.options.HubOptions`.
            Limits may be given as ``NAME=NUMBER`` settings too.

        Raises
        ------
        WrongUse
            An option is wrong, or a label in use.
        HubfarmError
            A hub could not start; the others were taken down again.
        """
        return self._start([self.request(options)], log_level, progress)

    def request(self, options: Mapping[str, Any]) -> "HubRequest":
        """Return the request for hubs of these options; see `start`.

        Raises
        ------
        WrongUse
            An option is wrong, or a settings file.
        """
        from hubfarm.registry.settings import load_settings
        from hubfarm.spec.hub_request import HubRequest
        from hubfarm.spec.options import asked

        return asked(HubRequest, options, load_settings().limits)

    def declared(self, path: Path) -> "FarmFile":
        """Return what a farm file declares; see `hubfarm.spec.farm_file`.

        Raises
        ------
        WrongUse
            There is none, or something in it or in a settings file is wrong.
        """
        from hubfarm.registry.settings import load_settings
        from hubfarm.spec.farm_file import read_farm_file

        return read_farm_file(path, load_settings().limits)

    def check_requests(self, requests: "Sequence[HubRequest]") -> None:
        """Refuse what no hub can be, before a coordinator is asked.

        Raises
        ------
        WrongUse
            A restriction would let in nobody.
        """
        specs = [request.specs(used=())[0] for request in requests]
        if any(spec.access is not Access.OPEN for spec in specs):
            from hubfarm.access.somebody import check_somebody

            check_somebody(specs, self.paths)

    def _start(self, requests: "list[HubRequest]", log_level: str, progress: Callable[[str], None]) -> list[HubInfo]:
        from hubfarm.control.protocol import NoCoordinator

        self.check_requests(requests)
        self._ensure_coordinator(log_level)
        try:
            started = self._start_once(requests, progress)
        except NoCoordinator:
            # It was ending, and has started nothing: the next one will.
            wait_until_free(self.paths.coordinator_guard)
            self._ensure_coordinator(log_level)
            started = self._start_once(requests, progress)
        return [hub for hub in self.hubs() if hub.id in started and hub.kind is HubKind.FARM]

    def _start_once(self, requests: "list[HubRequest]", progress: Callable[[str], None]) -> set[int]:
        started = set()
        for told in self._control.start(requests):
            started.add(told.id)
            progress(told.label)
        return started

    def restart(
        self,
        selectors: Collection[str] = (),
        *,
        group: str = "",
        owner: str = "",
        everything: bool = False,
        progress: Callable[[str], None] = lambda label: None,
    ) -> list[HubInfo]:
        """Restart hubs of the farm in order, under the same id, label, URL and secret; they keep their clients.

        Parameters
        ----------
        selectors : collection of str
            Which; see `find`.
        group, owner : str
            All of a group, of an owner, or of both.
        everything : bool
            All that the coordinator runs.
        progress : callable
            Told the label of each hub as it serves again.

        Raises
        ------
        WrongUse
            Nothing is named, or a selector names no hub, or several, or a hub that the coordinator does not run.
        HubfarmError
            A successor could not start.
        """
        chosen = self._supervised_hubs("restart", selectors, group=group, owner=owner, everything=everything)
        self._note_who_asks([hub for hub in chosen if hub.state is not HubState.DORMANT])
        return self._done_with(chosen, self._control.restart, progress)

    def _supervised_hubs(
        self, verb: str, selectors: Collection[str], *, group: str, owner: str, everything: bool
    ) -> list[HubInfo]:
        """Return hubs that the coordinator runs, which is started if need be, for something that it alone can do."""
        if not (selectors or group or owner or everything):
            raise WrongUse(f"say which hubs to {verb}: selectors, a group, an owner, or all")
        _check_one_way(selectors, group, owner, everything)
        alive = [hub for hub in self.hubs() if hub.alive]
        ours = [hub for hub in alive if hub.kind is HubKind.FARM]
        selected = [select(alive, selector) for selector in selectors]
        chosen = _chosen(selected, ours, group=group, owner=owner, everything=everything)
        if not chosen:
            return []
        if ours:
            self._ensure_coordinator("INFO")  # hubs of one that was killed are adopted
        supervised = self._supervised()
        for hub in chosen:
            if hub.kind is not HubKind.FARM or hub.id not in supervised:
                raise WrongUse(f"the hub {hub.name} is {hub.kind}: only hubs of the farm can {_PASSIVE[verb]}")
        return chosen

    def _done_with(
        self,
        chosen: list[HubInfo],
        what: "Callable[[Sequence[int]], Iterator[HubStatus]]",
        progress: Callable[[str], None],
    ) -> list[HubInfo]:
        if not chosen:
            return []
        for told in what([hub.id for hub in chosen if hub.id is not None]):
            progress(told.label)
        return [hub for hub in self.hubs() if hub.id in {one.id for one in chosen} and hub.kind is HubKind.FARM]

    # ------------------------------------------------------------------ sleep

    def sleep(
        self,
        selectors: Collection[str] = (),
        *,
        group: str = "",
        owner: str = "",
        everything: bool = False,
        progress: Callable[[str], None] = lambda label: None,
    ) -> list[HubInfo]:
        """Let hubs of the farm sleep with their clients, and return them: they have no process until somebody comes.

        Parameters
        ----------
        selectors, group, owner, everything
            Which; see `restart`.
        progress : callable
            Told the label of each hub as it sleeps.

        Raises
        ------
        WrongUse
            Nothing is named, or a selector names no hub, or several, or a hub that the coordinator does not run, or
            that runs an earlier release.
        HubfarmError
            A hub is in use: a client waits for something, or a message is on its way.

        Examples
        --------
        >>> farm = Farm()
        >>> (hub,) = farm.start(label="night")
        >>> farm.sleep(["night"])[0].state.value
        'dormant'
        >>> farm.wake(["night"])[0].state.value
        'running'
        >>> farm.stop(["night"])
        ['night']
        """
        chosen = self._supervised_hubs("sleep", selectors, group=group, owner=owner, everything=everything)
        for hub in chosen:
            with contextlib.suppress(FileNotFoundError):  # it has woken meanwhile, under another name: so it can sleep
                if "hubfarm.idle" not in self._lockdir.read(hub.lock_file).tokens:
                    raise WrongUse(
                        f"the hub {hub.name} runs an earlier release, which cannot sleep: hubfarm restart it"
                    )
        return self._done_with(chosen, self._control.sleep, progress)

    def wake(
        self,
        selectors: Collection[str] = (),
        *,
        group: str = "",
        owner: str = "",
        everything: bool = False,
        progress: Callable[[str], None] = lambda label: None,
    ) -> list[HubInfo]:
        """Wake hubs of the farm, as the next connection would, and return them once they serve.

        Parameters
        ----------
        selectors, group, owner, everything
            Which; see `restart`.
        progress : callable
            Told the label of each hub as it serves.

        Raises
        ------
        WrongUse
            Nothing is named, or a selector names no hub, or several, or a hub that the coordinator does not run.
        HubfarmError
            A hub cannot have a process; it sleeps on.
        """
        chosen = self._supervised_hubs("wake", selectors, group=group, owner=owner, everything=everything)
        return self._done_with(chosen, self._control.wake, progress)

    def _awake(self, hub: HubInfo) -> HubInfo:
        """Return a hub, woken if it sleeps: it is to do something itself."""
        return self.wake([str(hub.id)])[0] if hub.state is HubState.DORMANT else hub

    def _bring_sleepers_back(self) -> None:
        """Start a coordinator if hubs sleep that have lost theirs."""
        if some_sleep(self.paths) and not self.coordinator_lives:
            with contextlib.suppress(HubfarmError):  # they are listed as dead then
                self._ensure_coordinator("INFO")

    # ------------------------------------------------------------------ web pages

    @property
    def web(self) -> "Web":
        """What is asked and decided about web pages."""
        from hubfarm.farm.web import Web

        return Web(self.paths)

    # ------------------------------------------------------------------ hubs joined

    @property
    def bridges(self) -> "FarmBridges":
        """The bridges that join hubs with each other."""
        from hubfarm.farm.bridging import FarmBridges

        return FarmBridges(self.paths, self.find, lambda: self._ensure_coordinator("INFO"))

    @property
    def connections(self) -> "FarmConnections":
        """The hubs of other hosts that are here."""
        from hubfarm.farm.connecting import FarmConnections

        return FarmConnections(self.paths, lambda: self._ensure_coordinator("INFO"))

    # ------------------------------------------------------------------ another release

    def upgrade(self, *, dry_run: bool = False, progress: Callable[[str], None] = lambda name: None) -> "list[Part]":
        """Bring the coordinator and the hubs to the release that is installed; their clients stay.

        The release is tried first, in a home of its own. Hubs that other programs run are left to them.

        Parameters
        ----------
        dry_run : bool
            Only return what would be done.
        progress : callable
            Told the name of each part as it runs the new release.

        Returns
        -------
        list of Part
            All that ran, and what was done with it; see `hubfarm.farm.upgrade`.

        Raises
        ------
        WrongUse
            Something runs a later release than this one.
        HubfarmError
            The release does not run here, cannot read what a hub keeps, or a hub did not come back.
        """
        from hubfarm.farm.upgrade import Fate, check_journals, parts_of, replace_coordinator, replace_hubs, try_release

        hubs = [hub for hub in self.hubs() if hub.alive]
        parts = parts_of(self._control.hello(), hubs)
        due = [part for part in parts if part.fate is Fate.REPLACE]
        if dry_run or not due:
            return parts
        try_release()
        check_journals(self.paths, hubs)
        if due[0].kind == "coordinator":
            replace_coordinator(due[0].pid, self._control.hello, lambda: self._ensure_coordinator("INFO"))
            progress(due[0].name)
            told = self._control.status().web
            self.web.renew(told.pid if told else None)
            self.bridges.renew()
            self.connections.renew()
        replace_hubs(due, lambda name: self.restart([name]), progress)
        return parts

    # ------------------------------------------------------------------ declared in a file

    def up(
        self, path: Path, *, dry_run: bool = False, prune: bool = False, replace_changed: bool = False
    ) -> "list[Change]":
        """Make what runs match a farm file, and return what that took; see `hubfarm.spec.farm_file`.

        A hub that lets in more than the file declares is restricted while it runs.

        Parameters
        ----------
        path : Path
            The farm file.
        dry_run : bool
            Only return it.
        prune : bool
            Stop hubs that the file once declared and no longer does.
        replace_changed : bool
            Stop and start hubs that run with other options than declared.

        Raises
        ------
        WrongUse
            Something in the file is wrong.
        HubfarmError
            A hub could not start or stop.
        """
        from hubfarm.spec.farm_file import Action, difference, difference_of_bridges
        from hubfarm.spec.hub_request import HubRequest

        file = self.declared(path)
        running = self._running()
        changes = difference(file.hubs, running, file.origins, prune=prune, replace_changed=replace_changed)
        present = [info.spec for info in self.bridges.all() if not info.failure]
        of_bridges = difference_of_bridges(
            file.bridges, present, file.origins, prune=prune, replace_changed=replace_changed
        )
        if dry_run:
            return changes + of_bridges
        leaving = [change.label for change in changes if change.action in (Action.STOP, Action.REPLACE)]
        coming = {change.label for change in changes if change.action in (Action.START, Action.REPLACE)}
        requests = [HubRequest.of(hub) for hub in file.hubs if hub.label in coming]
        self.check_requests(requests)  # before anything is stopped
        restricted = {change.label for change in changes if change.action is Action.RESTRICT}
        for hub in file.hubs:
            if hub.label in restricted:
                self.set_access(hub.label, hub.access, hub.allow)
        if leaving:
            self.stop(leaving)
        if requests:
            self._start(requests, "INFO", lambda label: None)
        self.bridges.match(file.bridges, of_bridges)
        return changes + of_bridges

    def _running(self) -> "list[HubSpec]":
        from hubfarm.spec.hub_spec import HubSpec

        found = []
        for entry in self._lockdir.living():
            if entry.tokens.get("hubfarm.kind") == HubKind.FARM:
                with contextlib.suppress(ValueError):  # its hub will mend it
                    found.append(HubSpec.from_tokens(entry.tokens))
        return found

    # ------------------------------------------------------------------ stopping

    def stop(
        self,
        selectors: Collection[str] = (),
        *,
        group: str = "",
        owner: str = "",
        everything: bool = False,
        coordinator: bool = False,
        progress: Callable[[str], None] = lambda label: None,
    ) -> list[str]:
        """End hubs in order, wait until they are gone, and return their names.

        Parameters
        ----------
        selectors : collection of str
            Which; see `find`.
        group, owner : str
            All of a group, of an owner, or of both.
        everything : bool
            All of ours on this host, the bridges, and the connections to hubs elsewhere.
        coordinator : bool
            End the coordinator too, and with it every hub that it runs.
        progress : callable
            Told the name of each hub as it is gone.

        Raises
        ------
        WrongUse
            Nothing is named, or a selector names no hub, or several, or one that ends with its program.
        HubfarmError
            A hub did not end in time.
        """
        from hubfarm.control.protocol import NoCoordinator

        if not (selectors or group or owner or everything or coordinator):
            raise WrongUse("say which hubs to stop: selectors, a group, an owner, or all")
        _check_one_way(selectors, group, owner, everything)
        alive = [hub for hub in self.hubs() if hub.alive]
        hubs = [hub for hub in alive if hub.kind not in OTHERS]
        selected = [may_be_ended(select(alive, selector)) for selector in selectors]
        status = self._status() if coordinator else None
        if status:
            supervised = {hub.id for hub in status.hubs}
            selected += [hub for hub in hubs if hub.id in supervised and hub.kind is HubKind.FARM]
        chosen = _chosen(selected, hubs, group=group, owner=owner, everything=everything)
        self._note_who_asks(chosen)
        if everything or coordinator:
            self.bridges.end_all()
            self.connections.end_all()
        self._end_connections([hub for hub in chosen if hub.kind is HubKind.CONNECTED], progress)
        self._ender.stop([hub for hub in chosen if hub.kind is not HubKind.CONNECTED], progress)
        if status:
            with contextlib.suppress(NoCoordinator):  # it is ending already
                self._control.shut_down()
            self._wait_for_coordinator(status.pid)
        return [hub.name for hub in chosen]

    def _end_connections(self, doors: list[HubInfo], progress: Callable[[str], None]) -> None:
        for door in doors:
            if door.label in {info.label for info in self.connections.all()}:  # or all were ended
                self.connections.end([door.label])
            progress(door.name)

    def drain(
        self,
        selectors: Collection[str],
        *,
        wait: float = 60.0,
        progress: Callable[[str], None] = lambda label: None,
    ) -> list[str]:
        """Let hubs take no new clients, deliver what is queued, and then end; return their names.

        Parameters
        ----------
        selectors : collection of str
            Which; see `find`.
        wait : float
            How long a hub may take; then it is stopped as it is, seconds.
        progress : callable
            Told the name of each hub as it is gone.

        Raises
        ------
        WrongUse
            A selector names no hub or several, or one that ends with its program.
        HubfarmError
            A hub did not end.
        """
        check_seconds(wait, "wait")
        found = [may_be_ended(self.find(selector)) for selector in selectors]
        for hub in found:
            if hub.kind is HubKind.CONNECTED:
                raise WrongUse(
                    f"the hub {hub.name} is another host's: drain it there, or hubfarm disconnect {hub.name}"
                )
        hubs = [self._awake(hub) for hub in found]
        self._note_who_asks(hubs)
        self._ender.drain(hubs, wait, progress)
        return [hub.name for hub in hubs]

    @property
    def _ender(self) -> Ender:
        return Ender(self._lockdir, self._control, self._supervised)

    def _note_who_asks(self, hubs: list[HubInfo]) -> None:
        from hubfarm.registry.asked import note

        note(self.paths, [hub.names.name for hub in hubs if hub.names.name is not None])

    # ------------------------------------------------------------------ the coordinator

    def coordinator(self) -> dict[str, Any] | None:
        """Return the coordinator's pid, version, uptime (seconds) and hubs; None if none runs."""
        from msgspec import to_builtins

        status = self._status()
        known: dict[str, Any] | None = to_builtins(status) if status else None
        return known

    def _status(self) -> "CoordinatorStatus | None":
        from hubfarm.control.protocol import NoCoordinator

        try:
            return self._control.status()
        except NoCoordinator:
            return None

    @property
    def coordinator_lives(self) -> bool:
        """Whether a coordinator runs: by its guard, without asking it."""
        return guard_is_held(self.paths.coordinator_guard)

    def start_coordinator(self, log_level: str = "INFO") -> dict[str, Any]:
        """Return what `coordinator` does, of one that is started if none runs; it takes on the hubs that there are.

        Parameters
        ----------
        log_level : str
            What it logs, and its hubs.

        Raises
        ------
        HubfarmError
            It could not start.
        """
        self._ensure_coordinator(log_level)
        status = self.coordinator()
        if status is None:
            raise HubfarmError("the coordinator has ended again: hubfarm logs coordinator says why")
        return status

    def restart_coordinator(self, log_level: str = "INFO") -> dict[str, Any]:
        """Replace the coordinator by one of the release that is installed; hubs serve on.  See `start_coordinator`.

        One that a service manager runs is killed: that takes it for a failure, and starts the next one.

        Raises
        ------
        WrongUse
            The settings file is wrong, with which none could start: the present one was left alone.
        HubfarmError
            It did not end in time, or none could start.
        """
        from hubfarm.farm.upgrade import is_of_service, replace_coordinator
        from hubfarm.registry.settings import load_settings

        load_settings()
        present = self._control.hello()
        if present is not None and is_of_service(present.pid):
            replace_coordinator(present.pid, self._control.hello, lambda: self._ensure_coordinator(log_level))
        else:
            self.end_coordinator()
        return self.start_coordinator(log_level)

    def end_coordinator(self) -> int | None:
        """End the coordinator alone, and return its PID; None if none ran.  Its hubs serve on.

        Raises
        ------
        HubfarmError
            It did not end in time.
        """
        coordinator = self._control.hello()  # which one of another release understands too
        if coordinator is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.kill(coordinator.pid, signal.SIGUSR2)
        self._wait_for_coordinator(coordinator.pid)
        return coordinator.pid

    def _supervised(self) -> set[int]:
        """Return the ids of the hubs that the coordinator looks after, if one runs."""
        status = self._status()
        return {hub.id for hub in status.hubs} if status else set()

    @cached_property
    def _control(self) -> "ControlClient":
        from hubfarm.control.client import ControlClient  # listing needs none

        return ControlClient(self.paths.control_socket)

    def _ensure_coordinator(self, log_level: str) -> None:
        from hubfarm.coordinator.launch import ensure_coordinator

        ensure_coordinator(self.paths.prepare(), lambda: self._status() is not None, log_level)

    def _wait_for_coordinator(self, pid: int) -> None:
        if not wait_until_free(self.paths.coordinator_guard):
            raise HubfarmError(f"the coordinator (process {pid}) has not ended within {STOP_TIMEOUT:g} s")

    # ------------------------------------------------------------------ who may enter

    @cached_property
    def users(self) -> "Users":
        """The users file; see `hubfarm.access.users.Users`."""
        from hubfarm.access.authenticators import users_path
        from hubfarm.access.users import Users
        from hubfarm.registry.settings import load_settings

        return Users(users_path(load_settings().access, self.paths.prepare()), self.tickets)

    @cached_property
    def tickets(self) -> "Tickets":
        """The tickets there are; see `hubfarm.registry.tickets.Tickets`."""
        from hubfarm.registry.tickets import Tickets

        return Tickets(self.paths)

    def log_in(
        self,
        selector: str,
        *,
        user: str,
        password: str,
        seconds: float = LOGIN_LASTS,
        for_this_process: bool = False,
    ) -> "Login":
        """Prove who somebody is, and make a ticket for a hub.

        Parameters
        ----------
        selector : str
            Which hub; see `find`.
        user, password : str
            Who, and what proves it.
        seconds : float
            How long the ticket counts.
        for_this_process : bool
            It counts only as long as this process, or the program that takes its place (exec), lives.

        Raises
        ------
        WrongUse
            No hub or more than one is meant, or one that knows no users.
        HubfarmError
            User or password is wrong, or the hub does not let that user in.
        """
        from hubfarm.farm.entering import log_in

        check_seconds(seconds, "the time that a ticket counts")
        hub = self.find(selector)
        return log_in(hub, self.paths, user=user, password=password, seconds=seconds, for_this_process=for_this_process)

    def check_login(self, selector: str) -> None:
        """Refuse what no password could help with, before anybody types one; see `log_in`.

        Raises
        ------
        WrongUse
            No hub or more than one is meant, one that knows no users, or the settings name no authenticator.
        HubfarmError
            The authenticator cannot be used here.
        """
        from hubfarm.farm.entering import check_login

        check_login(self.find(selector), self.paths)

    def share(self, selector: str, *, user: str, seconds: float = SHARE_LASTS) -> "Shared":
        """Let a hub hand out a lock file by which programs elsewhere enter as a user; it is a ticket.

        Parameters
        ----------
        selector : str
            Which hub; see `find`.
        user : str
            As whom they enter.
        seconds : float
            How long it counts.

        Raises
        ------
        WrongUse
            No hub or more than one is meant, or one that knows no users; or that is no name of a user.
        HubfarmError
            The hub does not let that user in.
        """
        from hubfarm.farm.entering import share

        check_seconds(seconds, "the time that a share counts")
        return share(self.find(selector), self.paths, user=user, seconds=seconds)

    def ticket_at_hand(self, lock_file: Path) -> Path | None:
        """Return the ticket that ``SAMP_HUB`` names, if it is one for the hub of a lock file; see `log_in`."""
        try:
            path = file_path(parse_samp_hub(os.environ.get("SAMP_HUB", "")))
            if path.parent != self.paths.tickets:
                return None
            return path if self._lockdir.read(path).url == self._lockdir.read(lock_file).url else None
        except (WrongUse, OSError):
            return None

    def set_access(self, selector: str, access: str, allow: Sequence[str] = ()) -> HubInfo:
        """Change whom a running hub lets in, and return it; who is in and may not be is thrown out.

        Parameters
        ----------
        selector : str
            Which hub; see `find`.
        access : str
            See `hubfarm.spec.access.Access`.
        allow : sequence of str
            Who else, as ``user:luigi`` or ``group:mima``.

        Raises
        ------
        WrongUse
            No hub or more than one is meant, or the restriction would let in nobody.
        HubfarmError
            The hub does not heed it.
        """
        from hubfarm.farm.entering import set_access

        if access not in list(Access):
            raise WrongUse(f"access is {access!r}: it must be one of {', '.join(Access)}")
        hub = self._awake(self.find(selector))
        set_access(hub, self.paths, Access(access), allow)
        return self.find(str(hub.id))

    # ------------------------------------------------------------------ using and cleaning

    def environment(
        self, selector: str, command: Sequence[str] = (), *, login: "Login | None" = None
    ) -> dict[str, str]:
        """Return the environment variables that lead a program to the hub that `selector` names.

        Parameters
        ----------
        selector : str
            See `find`.
        command : sequence of str, optional
            The program that is to take this process's place (exec), and its arguments; some need more than
            ``SAMP_HUB``, see `hubfarm.registry.programs`, and all have to believe a hub that speaks TLS, see
            `hubfarm.access.trust`.
        login : Login, optional
            As whom it enters; see `log_in`.

        Raises
        ------
        WrongUse
            No hub or more than one is meant, or the settings file is wrong.
        HubfarmError
            What the program needs cannot be made.
        """
        hub = self.find(selector)
        lock_file = login.lock_file if login else hub.stable_name or hub.lock_file
        variables = {"SAMP_HUB": lock_url(lock_file)}
        if command:
            from hubfarm.registry.programs import variables_for
            from hubfarm.registry.settings import load_settings

            programs = load_settings().programs
            variables |= variables_for(command, lock_file, self.paths, programs)
            if hub.url.startswith("https:"):
                from hubfarm.access.trust import trust_variables

                variables |= trust_variables(lock_file, self.paths, os.environ | variables)
        return variables

    def log_file(self, selector: str) -> Path:
        """Return the log of the hub that `selector` names, or of the ``coordinator``.

        A hub that has ended is named by its label.

        Raises
        ------
        WrongUse
            No hub is meant, or one that logs elsewhere.
        HubfarmError
            No coordinator has run yet.
        """
        exact = self.paths.logs / f"{selector}.log"
        if "/" not in selector and os.path.isfile(exact):
            return exact
        if selector == "coordinator":
            raise HubfarmError(f"no coordinator has run yet, there is no {exact}: hubfarm start starts one")
        hub = self.find(selector)
        if hub.kind is HubKind.CONNECTED:
            return self.paths.logs / f"connection-{self.connections.find(hub.label).spec.name}.log"
        path = self.paths.logs / f"{hub.label or f'hub-{hub.id}'}.log"
        if hub.kind is not HubKind.FARM or not os.path.isfile(path):
            raise WrongUse(f"the hub {hub.name} is {hub.kind}, and logs elsewhere than in {self.paths.logs}")
        return path

    def gc(self, *, dry_run: bool = False) -> "list[Verdict]":
        """Remove what dead hubs left, and say file by file what was removed or kept, and why.

        Parameters
        ----------
        dry_run : bool
            Only say it.

        Raises
        ------
        HubfarmError
            The directories cannot be used.
        """
        if not (self.paths.lockdir.exists() or self._lockdir.lock_files()):
            return []
        self.paths.prepare()
        self._bring_sleepers_back()
        from hubfarm.registry.sweep import sweep

        return sweep(self._lockdir, self._ask, dry_run=dry_run)

    def remains(self) -> "list[Remain]":
        """Return what hubfarm has left in this account; see `uninstall`."""
        from hubfarm.farm.removal import remains

        return remains(self.paths)

    def uninstall(self) -> "list[Remain]":
        """End the farm, remove what hubfarm has left in this account, and return what stays, and why.

        Raises
        ------
        HubfarmError
            A hub did not end, a program of `environment` still lives in a home of ours, or something cannot be removed.
        """
        from hubfarm.farm.removal import remains, remove
        from hubfarm.farm.unit import Service
        from hubfarm.registry.homes import is_lived_in

        Service().uninstall()  # or systemd starts it again
        self.stop(everything=True, coordinator=True)
        self.gc()
        lived_in = [each.name for each in self.paths.homes.glob("*") if is_lived_in(each)]
        if lived_in:
            raise HubfarmError(f"end the programs first that hubfarm exec has started: {', '.join(lived_in)}")
        return remove(remains(self.paths), self.paths)


def _chosen(selected: list[HubInfo], hubs: list[HubInfo], *, group: str, owner: str, everything: bool) -> list[HubInfo]:
    """Return the hubs that were selected, and all of `hubs` or those of the group and the owner; each once."""
    narrowed = with_names(hubs, group=group, owner=owner) if group or owner else []
    return list({hub.lock_file: hub for hub in (*selected, *narrowed, *(hubs if everything else ()))}.values())


def _check_one_way(selectors: Collection[str], group: str, owner: str, everything: bool) -> None:
    """Refuse hubs that are named in two ways: it would be guesswork whether both must hold, or one.

    Raises
    ------
    WrongUse
        They are.
    """
    if sum((bool(selectors), bool(group or owner), everything)) > 1:
        raise WrongUse("name the hubs, or say a group and an owner, or all: not two of these")
