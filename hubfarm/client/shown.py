"""How a client looks to people: a line at a prompt, a table in a notebook.

Nothing secret is in either: neither the private key nor what is in a lock file but the hub's label and URL.
"""

from collections.abc import Mapping
from typing import NamedTuple

from hubfarm.client.handlers import Bindings
from hubfarm.client.membership import Membership
from hubfarm.registry.entry import label_of
from hubfarm.samp.lockfile import URL
from hubfarm.visible import brief


class Standing(NamedTuple):
    """What a client is, and where.

    Parameters
    ----------
    metadata : Mapping
        What it says of itself.
    bindings : Bindings
        What it takes.
    membership : Membership or None
        Its membership of a hub.
    """

    metadata: Mapping[str, object]
    bindings: Bindings
    membership: Membership | None

    @property
    def name(self) -> str:
        """What it calls itself."""
        return str(self.metadata.get("samp.name", ""))

    @property
    def id(self) -> str:
        """Its public id; empty if it is on no hub."""
        member = self.membership
        return member.id if member is not None and member.hub.is_open and member.is_registered else ""

    @property
    def hub(self) -> str:
        """What its hub is called: its label, or else its URL; empty if it is on none."""
        tokens = self.membership.hub.tokens if self.membership is not None and self.id else {}
        return label_of(tokens) or tokens.get(URL, "")


class Shown:
    """A client that shows itself; it says how it stands."""

    def _standing(self) -> Standing:
        raise NotImplementedError

    def __repr__(self) -> str:
        now = self._standing()
        where = f"{now.id} on {now.hub}" if now.id else "not connected"
        return f"<{type(self).__name__} {brief(f'{now.name}: {where}', 160)}>"

    def _repr_html_(self) -> str:
        from hubfarm import html
        from hubfarm.client.icons import icons_of

        now = self._standing()
        icon = next(iter(icons_of([now.metadata]).values()), b"") if now.id else b""
        return html.facts(
            html.joined(html.picture(icon), now.name or type(self).__name__),
            {
                "state": html.state("connected" if now.id else "not connected", bool(now.id)),
                "hub": now.hub,
                "id": now.id,
                "description": now.metadata.get("samp.description.text"),
                "takes": ", ".join(sorted(now.bindings.subscriptions())),
            },
        )
