"""What a hub itself says of a client in the client's metadata: who it has proved to be, and by which door it came.

Others see it as they see all metadata (SAMP 1.3, 3.6), so it has to be a fact: what a client declares under these names
is left out.  Of a client that came by the Standard Profile and proved nothing, nothing is said.
"""

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


def metadata_of(who: Principal, declared: EncodedMap = EMPTY) -> EncodedMap:
    """Return a client's metadata: what it has declared, and what the hub says."""
    said = said_of(who)
    if not said and SAID.isdisjoint(declared.outline):
        return declared  # as nearly always: it stays encoded
    own: Map = {name: value for name, value in declared.decode().items() if name not in SAID}
    return EncodedMap.of(own | said)
