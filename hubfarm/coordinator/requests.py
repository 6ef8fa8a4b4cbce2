"""A request to start hubs, as it goes over the control API: how it is written, and how it is read.

Who writes it loads nothing of the coordinator.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.hub_spec import MAX_HUBS, HubSpec, Limits, Restart, labels_for

if TYPE_CHECKING:
    from hubfarm.coordinator.supervisor import Plan


def start_request(
    *,
    count: int,
    label: str,
    owner: str,
    group: str,
    timeout: float,
    client_timeout: float,
    host: str,
    port: int,
    limits: Iterable[str],
    restart: str,
    callback_hosts: Iterable[str] = (),
    origin: str = "",
) -> dict[str, Any]:
    """Check the parameters of `Farm.start` and return them as the control API takes them.

    Raises
    ------
    WrongUse
        One is wrong.
    """
    if not 1 <= count <= MAX_HUBS:
        raise WrongUse(f"count is {count}: a farm holds 1 to {MAX_HUBS} hubs")
    if not 0 <= port <= 65535 or (port and port + count - 1 > 65535):
        raise WrongUse(f"port is {port}: it must be 0 (chosen by the system) or 1 to 65535, for all {count} hubs")
    settings, callbacks = list(limits), list(callback_hosts)
    if restart not in list(Restart):
        raise WrongUse(f"restart is {restart!r}: it must be one of {', '.join(Restart)}")
    HubSpec(
        id=0,
        label=label,
        owner=owner,
        group=group,
        timeout=timeout,
        client_timeout=client_timeout,
        host=host,
        limits=Limits.parse(settings),
        callback_hosts=tuple(callbacks),
    )
    return {
        "count": count,
        "label": label,
        "owner": owner,
        "group": group,
        "timeout": timeout,
        "client_timeout": client_timeout,
        "host": host,
        "port": port,
        "limits": settings,
        "restart": str(restart),
        "callback_hosts": callbacks,
        "origin": origin,
    }


def read_plan(body: dict[str, Any]) -> "Plan":
    """Return the plan that a request to ``POST /hubs`` describes.

    Parameters
    ----------
    body : dict
        ``{"hubs": [{"label": …, "count": …, …}, …]}``, each as `start_request` makes it.

    Raises
    ------
    WrongUse
        Something is missing or wrong.
    """
    try:
        wanted = [(_template(each), int(each["count"]), int(each["port"])) for each in body["hubs"]]
    except (TypeError, ValueError, KeyError) as error:
        raise WrongUse(f"not a request to start hubs: {error!r}") from None

    def plan(used: Collection[str]) -> Sequence[tuple[HubSpec, int]]:
        return [
            (template.labelled(label), port and port + number)
            for template, count, port in wanted
            for number, label in enumerate(labels_for(template, count, used))
        ]

    return plan


def _template(each: dict[str, Any]) -> HubSpec:
    return HubSpec(
        id=0,
        label=each["label"],
        owner=each["owner"],
        group=each["group"],
        timeout=float(each["timeout"]),
        client_timeout=float(each["client_timeout"]),
        host=each["host"],
        limits=Limits.parse(each["limits"]),
        restart=Restart(each["restart"]),
        callback_hosts=tuple(each["callback_hosts"]),
        origin=each["origin"],
    )
