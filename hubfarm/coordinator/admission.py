"""Which hubs may come in: how many a farm holds, which labels are free, which ports can be had; all of them, or none.

It gives those that may their ids and secrets, and starts nothing.
"""

import contextlib
import secrets
import socket
from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.wire.sockets import bind

Plan = Callable[[Collection[str]], Sequence[HubSpec]]
"""Given the labels in use, returns what the hubs are to be; ids and secrets are given here."""


def admit(templates: Sequence[HubSpec], *, running: int, used: Mapping[str, str], first_id: int) -> list[HubSpec]:
    """Return the hubs that come in, with ids and secrets.

    Parameters
    ----------
    templates : sequence of HubSpec
        What they are to be.
    running : int
        How many the farm has.
    used : dict of str to str
        The labels in use, and each one's hub.
    first_id : int
        The first one's id; the others' follow.

    Raises
    ------
    WrongUse
        There is no room for that many, or a label is in use; none comes in.
    """
    if running + len(templates) > MAX_HUBS:
        raise WrongUse(f"cannot start {len(templates)} hubs: {running} run already, a farm holds {MAX_HUBS} at most")
    for template in templates:
        if template.label in used:
            raise WrongUse(
                f"the label {template.label} is in use by the hub {used[template.label]}: "
                "choose another or stop that hub"
            )
    return [
        msgspec.structs.replace(template, id=first_id + number, secret=secrets.token_hex(16))
        for number, template in enumerate(templates)
    ]


def bind_all(specs: Sequence[HubSpec]) -> list[tuple[HubSpec, socket.socket]]:
    """Return each hub with its listening socket, and the port of that: a successor is to have it too.

    Raises
    ------
    HubfarmError
        One cannot be had; none is kept then.
    """
    with contextlib.ExitStack() as bound:
        sockets = [bound.enter_context(bind(spec.host, spec.port)) for spec in specs]
        bound.pop_all()
    return [
        (msgspec.structs.replace(spec, port=sock.getsockname()[1]), sock)
        for spec, sock in zip(specs, sockets, strict=True)
    ]
