"""The columns of hubs: what ``ls`` shows of each, and ``start`` and ``restart``."""

import socket

from hubfarm.cli.table import Column, Cut
from hubfarm.registry.listing import HubInfo
from hubfarm.spec.states import Access
from hubfarm.version import __version__
from hubfarm.visible import span

HUB_COLUMNS: list[Column[HubInfo]] = [
    Column(name="id", of=lambda hub: hub.id, priority=1, right=True),
    Column(name="label", of=lambda hub: hub.label, priority=1, cut=Cut.END, floor=20),
    Column(name="owner", of=lambda hub: hub.owner, priority=4, cut=Cut.END),
    Column(name="group", of=lambda hub: hub.group, priority=4, cut=Cut.END),
    Column(name="account", of=lambda hub: hub.account, priority=3, cut=Cut.END, rare=True),
    Column(name="access", of=lambda hub: hub.access, priority=3, dull="open", rare=True),
    Column(name="state", of=lambda hub: hub.state, priority=1),
    Column(name="kind", of=lambda hub: hub.kind, priority=4, dull="farm"),
    Column(
        name="host", of=lambda hub: hub.host, priority=3, cut=Cut.END, floor=16, dull=socket.gethostname(), rare=True
    ),
    Column(name="pid", of=lambda hub: hub.pid, priority=6, right=True),
    Column(name="url", of=lambda hub: hub.url, priority=7),
    Column(name="clients", of=lambda hub: hub.clients, priority=2, right=True, largest_first=True),
    Column(name="messages", of=lambda hub: hub.messages, priority=5, right=True, largest_first=True),
    Column(
        name="memory",
        header="MEM MB",
        of=lambda hub: hub.memory,
        text=lambda size: "" if size is None else f"{size / 2**20:.1f}",
        priority=3,
        right=True,
        largest_first=True,
        rare=True,
    ),
    Column(name="idle", of=lambda hub: hub.idle, text=span, priority=3, right=True),
    Column(name="timeout", of=lambda hub: hub.timeout or None, text=span, priority=8, right=True),
    Column(name="uptime", of=lambda hub: hub.uptime, text=span, priority=4, right=True, largest_first=True),
    Column(name="version", header="RELEASE", of=lambda hub: hub.version, priority=3, dull=__version__, rare=True),
    Column(name="problem", header="WHY", of=lambda hub: hub.problem, priority=2, cut=Cut.END, floor=20, rare=True),
    Column(name="queued", of=lambda hub: hub.queued, priority=0, right=True, largest_first=True),
    Column(name="watchers", of=lambda hub: hub.watchers, priority=0, right=True, largest_first=True),
    Column(name="restarts", of=lambda hub: hub.restarts, priority=0, right=True, largest_first=True),
    Column(name="lock_file", of=lambda hub: hub.lock_file, priority=0, cut=Cut.MIDDLE, floor=24),
    Column(name="stable_name", of=lambda hub: hub.stable_name, priority=0, cut=Cut.MIDDLE, floor=24),
    Column(name="samp_hub", of=lambda hub: hub.samp_hub, priority=0, cut=Cut.MIDDLE, floor=24),
]


def lets_in(hub: HubInfo) -> str:
    """Say whom a hub lets in."""
    from hubfarm.spec.access import Rule

    try:
        return Rule(access=Access(hub.access), owner=hub.owner, group=hub.group, allow=hub.allow).in_words()
    except ValueError:  # somebody has written over its lock file
        return "nobody knows whom"
