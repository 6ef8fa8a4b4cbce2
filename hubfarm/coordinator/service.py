"""What a coordinator in the foreground sees to by itself: hubs named by the line that started it, or by a farm file.

Hubs that an earlier coordinator has left are adopted before this is asked, and are not started again: a service may
be restarted.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path

from loguru import logger

from hubfarm.coordinator.hubs import Hubs
from hubfarm.coordinator.managed_hub import ManagedHub
from hubfarm.coordinator.supervisor import Told
from hubfarm.registry.bridges import Bridges
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.spec.farm_file import Action, FarmFile, difference, difference_of_bridges, read_farm_file
from hubfarm.spec.hub_request import HubRequest, specs_for
from hubfarm.spec.hub_spec import HubSpec

Purpose = Callable[[Hubs, Told[ManagedHub]], Awaitable[None]]
"""Sees to it that the right hubs run; `told` of each that does."""


def asked_for(requests: Sequence[HubRequest]) -> Purpose:
    """Return what starts the hubs of some requests, but for those whose label is among the adopted."""

    async def start(hubs: Hubs, told: Told[ManagedHub]) -> None:
        adopted = {hub.spec.label: hub for hub in hubs.by_id().values()}

        def missing(used: Collection[str]) -> Sequence[HubSpec]:
            return [spec for spec in specs_for(requests, set(used) - set(adopted)) if spec.label not in adopted]

        for hub in adopted.values():
            await told(hub)
        await hubs.start(missing, told)

    return start


def declared_in(path: Path) -> Purpose:
    """Return what makes the hubs match a farm file, as it is when this is awaited; again at each reload.

    What is missing is started, and what the file once declared and no longer does is stopped.  A hub that lets in more
    than declared is restricted.  One that runs with other options is left alone, and the log says so: nobody's clients
    are to go because of a reload.
    """
    known: set[str] = set()

    async def match(hubs: Hubs, told: Told[ManagedHub]) -> None:
        file = read_farm_file(path, load_settings().limits)
        running = {hub.spec.label: hub for hub in hubs.by_id().values()}
        specs = [hubs.as_changed(hub) for hub in running.values()]
        changes = difference(file.hubs, specs, file.origins, prune=True, replace_changed=False)
        former = known - set(file.origins)
        kept = {hub.label for hub in file.hubs}
        left = [label for label, hub in running.items() if hub.spec.origin in former and label not in kept]
        if left:
            logger.warning(
                "the farm file has another name now; hubs that it declared under the old one are left "
                "(hubfarm stop ends them): {}",
                ", ".join(left),
            )
        known.update(file.origins)
        by_action = {action: [each for each in changes if each.action is action] for action in Action}
        declared = {spec.label: spec for spec in file.hubs}
        for change in by_action[Action.RESTRICT]:
            logger.warning("{} lets in fewer from now on, as declared: {}", change.label, change.detail)
            hubs.restrict(running[change.label], declared[change.label])
        for change in by_action[Action.DIFFERS]:
            logger.warning("{} runs with other options than declared: {}", change.label, change.detail)
        stay = (*by_action[Action.KEEP], *by_action[Action.DIFFERS], *by_action[Action.RESTRICT])
        for label in dict.fromkeys(change.label for change in stay):
            await told(running[label])
        await hubs.stop([running[change.label].spec.id for change in by_action[Action.STOP]], _nobody)
        coming = {change.label for change in by_action[Action.START]}
        await hubs.start(lambda used: [spec for spec in file.hubs if spec.label in coming], told)
        _match_bridges(file)

    return match


def _match_bridges(file: FarmFile) -> None:
    """Write down which bridges are wanted; the coordinator sees to them."""
    bridges = Bridges(Paths.from_environment())
    present = [wish.spec for wish in bridges.all()]
    changes = difference_of_bridges(file.bridges, present, file.origins, prune=True, replace_changed=False)
    for change in changes:
        if change.action is Action.DIFFERS:
            logger.warning("{} runs otherwise than declared: {}", change.label, change.detail)
    bridges.match(file.bridges, changes)


async def _nobody(hub: ManagedHub) -> None:
    logger.info("{} is gone from the farm file", hub.name)
