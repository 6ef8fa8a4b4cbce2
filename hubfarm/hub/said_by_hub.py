"""What a hub itself says of a client in the client's metadata: who it has proved to be, and by which door it came.

Others see it as they see all metadata (SAMP 1.3, 3.6), so it has to be a fact: what a client declares under these
names, or under one that people would take for one of them, is left out.  Of a client that came by the Standard Profile
and proved nothing, nothing is said.  Web pages are told nothing of it: who uses the hub, and which other pages are
open, is no business of theirs.
"""

import unicodedata

from hubfarm.hub.model import EMPTY
from hubfarm.samp.values import Map
from hubfarm.samp.xmlrpc import EncodedMap
from hubfarm.spec.principal import ANYBODY, Principal

USER = "hubfarm.user"
GROUPS = "hubfarm.groups"
ACCOUNT = "hubfarm.account"
DOOR = "hubfarm.door"
ORIGIN = "hubfarm.origin"

SAID = frozenset({USER, GROUPS, ACCOUNT, DOOR, ORIGIN})
"""The names that are the hub's."""

_LONGEST = 4 * max(map(len, SAID))
"""No longer name can be taken for one of these, characters that are seen."""

_LEAST = 3
"""So many letters at their places make people read the others from another script as what they look like."""

_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""What counts as a letter or a symbol, and shows nothing."""


def said_of(who: Principal) -> Map:
    """Return what the hub says of somebody.

    Examples
    --------
    >>> said_of(Principal(user="luigi", groups=("mima",)))
    {'hubfarm.user': 'luigi', 'hubfarm.groups': ['mima'], 'hubfarm.door': 'standard'}
    >>> said_of(ANYBODY)
    {}
    """
    said: Map = {}
    if who.user:
        said = {USER: who.user, GROUPS: list(who.groups)}
    if who.account:
        said[ACCOUNT] = who.account
    if said or who.profile != ANYBODY.profile:
        said[DOOR] = who.profile
    if who.origin:
        said[ORIGIN] = who.origin
    return said


def looks_like_ours(name: str) -> bool:
    """Tell whether people would take the name of a metadatum for one of the hub's.

    Whatever is not seen, case, width and accents make no difference; nor does a letter of another script in the place
    of one.

    Examples
    --------
    >>> looks_like_ours("hubfarm.User"), looks_like_ours("hubf\u0430rm.us\u200ber"), looks_like_ours("hubfarm.command")
    (True, True, False)
    """
    if name.isascii():
        return "".join(name.split()).lower() in SAID
    seen = "".join(each for each in name if each.isprintable() and each not in _BLANK)
    if len(seen) > _LONGEST:
        return False
    bare = "".join(
        each
        for each in unicodedata.normalize("NFKD", seen).casefold()
        if not (each.isspace() or unicodedata.category(each).startswith("M"))
    )
    return any(_imitates(bare, ours) for ours in SAID)


def _imitates(name: str, ours: str) -> bool:
    if len(name) != len(ours):
        return False
    alike = [one == other for one, other in zip(name, ours, strict=True)]
    return sum(alike) >= _LEAST and all(same or not one.isascii() for same, one in zip(alike, name, strict=True))


def declared_in(metadata: EncodedMap) -> EncodedMap:
    """Return of a client's metadata what it has declared itself: what web pages see of them.

    Examples
    --------
    >>> declared_in(EncodedMap.of({"samp.name": "x", DOOR: "web"})).decode()
    {'samp.name': 'x'}
    """
    if SAID.isdisjoint(metadata.outline):
        return metadata
    own: Map = {name: value for name, value in metadata.decode().items() if name not in SAID}
    return EncodedMap.of(own)


def metadata_of(who: Principal, declared: EncodedMap = EMPTY) -> EncodedMap:
    """Return a client's metadata: what it has declared, and what the hub says."""
    said = said_of(who)
    if not said and not any(map(looks_like_ours, declared.outline)):
        return declared  # as nearly always: it stays encoded
    own: Map = {name: value for name, value in declared.decode().items() if not looks_like_ours(name)}
    return EncodedMap.of(own | said)
