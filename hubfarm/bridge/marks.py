"""What bridges say in metadata, so that they know each other's proxies: pure.

Theory of operation: a proxy is a client like any other, so a second bridge would mirror it, and a third that one, in
circles without end; and two bridges between the same hubs would bring every broadcast twice.  Hence two rules.  A
*proxy is never mirrored*, by whichever bridge it was made.  And *a client has one proxy on a hub*: of two bridges that
would make one, the older does.  For that each of our proxies says of which client it is, in a way that all bridges
understand: hubs have no name that is the same from everywhere, so the first bridge that comes to a hub gives it a
mark, and those that come later take that over.

JSAMP's bridge knows none of this: it mirrors proxies and bridges too, with all that they say.  But it marks its own
proxies, which are known by that before anything else.  Which clients they stand for has to be told from what they look
like.
"""

from collections.abc import Collection, Mapping

from hubfarm.samp.values import Map

HUB = "hubfarm.bridge.hub"
"""In the metadata of a bridge's own client on a hub: the hub's mark."""
OF = "hubfarm.bridge.of"
"""In the metadata of a proxy: the mark of its client's hub, a slash, and the client's public id there."""
BY = "hubfarm.bridge.by"
"""In both: which bridge it is of; the older of two comes before, as text."""
JSAMP_SOURCE = "bridge.proxy.source"
"""In the metadata of JSAMP's proxies, and of ours: where it comes from, for people."""

_JSAMP_DESCRIPTION = "Bridge between hubs"
_JSAMP_SUFFIX = " (proxy)"
NAME, ICON, DESCRIPTION = "samp.name", "samp.icon.url", "samp.description.text"


def is_of_a_bridge(metadata: Mapping[str, object]) -> bool:
    """Tell whether a client is a bridge's, its own or a proxy.

    Examples
    --------
    >>> is_of_a_bridge({"samp.name": "TOPCAT"}), is_of_a_bridge({"samp.name": "TOPCAT (b)", OF: "2f/c1"})
    (False, True)
    """
    return not {HUB, OF, JSAMP_SOURCE}.isdisjoint(metadata) or metadata.get(DESCRIPTION) == _JSAMP_DESCRIPTION


def mark_given(metadata: Mapping[str, object]) -> str:
    """Return the mark that a client, if it is a bridge's own, gives its hub; empty if it gives none.

    Examples
    --------
    >>> mark_given({"samp.name": "hubfarm bridge", HUB: "2f"}), mark_given({HUB: "2f", JSAMP_SOURCE: "standard"})
    ('2f', '')
    """
    mark = metadata.get(HUB)
    return mark if isinstance(mark, str) and JSAMP_SOURCE not in metadata else ""


def proxy_metadata(metadata: Map, label: str, of: str, by: str) -> Map:
    """Return what a proxy says of itself.

    Parameters
    ----------
    metadata : Map
        Its client's.
    label : str
        What people call the client's hub.
    of, by : str
        See `OF` and `BY`.

    Examples
    --------
    >>> proxy_metadata({"samp.name": "TOPCAT"}, "mima-1", "2f/c1", "7a")["samp.name"]
    'TOPCAT (mima-1)'
    """
    name = metadata.get(NAME)
    named = f"{name} ({label})" if isinstance(name, str) and name else f"({label})"
    return {**metadata, NAME: named, JSAMP_SOURCE: label, OF: of, BY: by}


def proxy_subscriptions(subscriptions: Map) -> Map:
    """Return what a proxy is subscribed to: what its client is, but for what each hub tells its own clients.

    Examples
    --------
    >>> proxy_subscriptions({"samp.hub.event.*": {}, "table.*": {}, "samp.app.ping": {}})
    {'table.*': {}, 'samp.app.ping': {}}
    """
    return {mtype: said for mtype, said in subscriptions.items() if not mtype.startswith("samp.hub.")}


def has_rival(client: str, at_home: Mapping[str, Map], of: str, by: str, rivals: Collection[Map]) -> bool:
    """Tell whether another bridge's proxy stands for a client, and goes before ours.

    Parameters
    ----------
    client : str
        The client's public id on its hub.
    at_home : dict of str to Map
        The metadata of the real clients there.
    of, by : str
        What our proxy says or would say; see `OF` and `BY`.
    rivals : collection of Map
        The metadata of other bridges' proxies on the other hub.
    """
    if any(said.get(OF) == of and str(said.get(BY)) < by and not _is_jsamps(said) for said in rivals):
        return True
    look = _look(at_home[client])
    alike = sum(_look_of_jsamps_client(said) == look for said in rivals if _is_jsamps(said))
    # Of clients that look the same, so many have a proxy: those that came first, as far as anybody can tell.
    return alike > 0 and alike > [id for id, said in at_home.items() if _look(said) == look].index(client)


def _is_jsamps(metadata: Mapping[str, object]) -> bool:
    return JSAMP_SOURCE in metadata and str(metadata.get(NAME)).endswith(_JSAMP_SUFFIX)


def _look_of_jsamps_client(metadata: Map) -> frozenset[tuple[str, str]]:
    name = str(metadata.get(NAME, "")).removesuffix(_JSAMP_SUFFIX)
    return _look({**metadata, NAME: name})


def _look(metadata: Map) -> frozenset[tuple[str, str]]:
    """Return what tells clients apart and a bridge leaves as it is; URLs are none of that, and what hubs say either."""
    return frozenset(
        (key, value)
        for key, value in metadata.items()
        if isinstance(value, str) and "://" not in value and not key.startswith("hubfarm.") and key != JSAMP_SOURCE
    )
