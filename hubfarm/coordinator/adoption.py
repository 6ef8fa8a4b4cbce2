"""Take on the hubs that an earlier coordinator has left.

Everything needed lies in the registry: a living hub's lock file says what it is, its guard
that it lives, and it hands its listening socket over when asked (SIGUSR2).  A hub that sleeps sleeps on.  One that died
while nobody watched is replaced, as it would have been: its lock file says by what, or, if others
have removed that, the registry's list of what is wanted.  One that died with the host, at an
earlier boot, is not: nobody expects it back.
"""

import contextlib

from loguru import logger

from hubfarm.coordinator.hubs import Hubs
from hubfarm.registry.boot_id import boot_id
from hubfarm.registry.entry import Entry, Standing
from hubfarm.registry.lockdir import LockDir
from hubfarm.registry.statetable import HubName, read_records
from hubfarm.registry.wanted import Wanted
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import Restart
from hubfarm.spec.states import HubKind


class Adoption:
    """Finds and takes on what an earlier coordinator has left.

    Parameters
    ----------
    hubs : Hubs
        Those that are looked after.
    lockdir : LockDir
        Where lock files and guards lie.
    """

    def __init__(self, hubs: Hubs, lockdir: LockDir) -> None:
        self._hubs = hubs
        self._lockdir = lockdir
        self._wanted = Wanted(lockdir.paths)

    def adopt(self) -> None:
        """Take on every hub that an earlier coordinator has left, living or dead.

        Raises
        ------
        HubfarmError
            Hubs of another version of hubfarm run, or the lock directory cannot be read.
        """
        self.adopt_living()
        for entry, spec in self._found(Standing.DEAD):
            if self._is_missing(spec):
                self._replace(entry, spec)
        living = self._lockdir.living_ids(with_process=True)  # also those that have yet to put back their lock files
        dormant = self._lockdir.dormant()
        for wish in self._wanted.all():
            slept = dormant.pop(wish.spec.id, None)
            if wish.spec.id in living or wish.spec.id in self._hubs.by_id():
                if slept is not None:
                    self._lockdir.clear_dead(slept, wish.spec.label)  # it was woken, and its coordinator killed
                continue
            if wish.asleep and wish.boot == boot_id():
                self._let_sleep_on(wish.spec, slept)
                continue
            if slept is not None:
                self._lockdir.clear_dead(slept, wish.spec.label)
            if self._is_missing(wish.spec) and wish.spec.restart is not Restart.NEVER and wish.boot == boot_id():
                self._bring_back(wish.spec)  # others have removed its lock file
            else:
                self._wanted.drop(wish.spec)
        for name in dormant.values():
            self._let_forgotten_sleep_on(name)

    def _let_sleep_on(self, spec: HubSpec, name: HubName | None) -> None:
        hub = self._hubs.make(spec, left=name)
        if name is not None:
            with contextlib.suppress(OSError):
                hub.url = self._lockdir.read(self._lockdir.lock_path(name)).url
        hub.begins_asleep = True
        self._hubs.supervisor.revive(hub)

    def _let_forgotten_sleep_on(self, name: HubName) -> None:
        """Let a hub sleep on that others have removed from what is wanted: its lock file says what it is."""
        try:
            tokens = self._lockdir.read(self._lockdir.lock_path(name)).tokens
            spec = HubSpec.from_tokens(tokens)
        except (OSError, WrongUse):
            self._lockdir.clear_dead(name, "")
            return
        if tokens.get("hubfarm.boot") == boot_id() and spec.id not in self._hubs.by_id():
            self._let_sleep_on(spec, name)
        else:
            self._lockdir.clear_dead(name, spec.label)

    def _is_missing(self, spec: HubSpec) -> bool:
        """Tell whether no hub lives under its id or label: one that does has replaced it already."""
        return spec.id not in self._hubs.by_id() and spec.label not in self._hubs.labels_in_use()

    def adopt_living(self) -> None:
        """Take on every hub of the farm that lives and that nobody looks after.

        Called now and then too: a hub whose lock file was damaged when this coordinator started
        has mended it since.

        Raises
        ------
        HubfarmError
            Hubs of another version of hubfarm run, or the lock directory cannot be read.
        """
        known = self._hubs.by_id()
        left = [found for found in self._found(Standing.ALIVE) if found[1].id not in known]
        if not left or self._hubs.supervisor.closing:
            return
        records = read_records(self._lockdir.paths.state_table)
        for entry, spec in left:
            hub = self._hubs.make(spec, url=entry.url, left=entry.name)
            record = records.get(entry.name) if entry.name else None
            hub.serving_since = record.started if record else 0.0
            self._hubs.supervisor.adopt(hub)  # one that has died since is one of the dead

    def _found(self, standing: Standing) -> list[tuple[Entry, HubSpec]]:
        found = []
        for entry in self._lockdir.scan():
            ours = entry.standing is standing and entry.tokens.get("hubfarm.kind") == HubKind.FARM
            if ours and entry.name is not None and not (entry.problem or entry.dormant):
                try:
                    found.append((entry, HubSpec.from_tokens(entry.tokens)))
                except WrongUse as error:
                    logger.warning("{} is left alone: {}", entry.path, error)
        return found

    def _replace(self, entry: Entry, spec: HubSpec) -> None:
        assert entry.name is not None
        if spec.restart is Restart.NEVER or entry.tokens.get("hubfarm.boot") != boot_id():
            return  # the next sweep takes what it left
        self._lockdir.clear_dead(entry.name, spec.label)
        self._bring_back(spec, entry.url)

    def _bring_back(self, spec: HubSpec, url: str = "") -> None:
        self._hubs.supervisor.revive(self._hubs.make(spec.successor(), url=url))
        logger.info("hub {} (id {}) died while nobody watched: replaced", spec.name, spec.id)
