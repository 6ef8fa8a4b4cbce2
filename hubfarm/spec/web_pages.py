"""What a web page may do on a hub that it was let into: which messages it may send (SAMP 1.3, 5.3).  Pure.

A page is let in by a user who knows little of it.  So it may send what can do no harm; a receiver that thinks otherwise
of one of its MTypes says so by an annotation of its subscription.  What it may *receive* is not restricted.
"""

from collections.abc import Collection, Mapping

from hubfarm.samp.errors import BadValue, WrongUse
from hubfarm.samp.mtype import check_pattern, matching

WEB = "web"
"""The name of the door by which pages come in; see `Principal.profile`."""

SAFE_MTYPES = (
    "samp.app.*",
    "samp.msg.progress",
    "table.*",
    "image.*",
    "coord.*",
    "spectrum.*",
    "bibcode.*",
    "voresource.*",
    "coverage.*",
)
"""What pages may send to whoever is subscribed to it: JSAMP's list."""

_SAFE = frozenset(SAFE_MTYPES)

HARMLESS = ("samp.mostly-harmless", "x-samp.mostly-harmless")
"""Annotations by which a receiver lets pages send an MType (``1``) or not (``0``); the first that stands counts."""


def check_web_mtypes(mtypes: Collection[str]) -> Collection[str]:
    """Return `mtypes` if each is an MType or a pattern.

    Raises
    ------
    WrongUse
        One is not.
    """
    for each in mtypes:
        try:
            check_pattern(each)
        except BadValue as error:
            raise WrongUse(str(error)) from None
    return mtypes


def page_may_send(mtype: str, annotations: Mapping[str, object], also: Collection[str] = ()) -> bool:
    """Tell whether a page may send a message to a receiver.

    Parameters
    ----------
    mtype : str
        The message's; or a pattern, of which it is told whether all that it matches may be sent.
    annotations : mapping
        What the receiver's subscription to it says.
    also : collection of str
        MTypes and patterns that pages may send on this hub beside the harmless ones.

    Examples
    --------
    >>> page_may_send("table.load.votable", {}), page_may_send("script.aladin.send", {})
    (True, False)
    >>> page_may_send("script.aladin.send", {"x-samp.mostly-harmless": "1"})
    True
    """
    said = next((annotations[name] for name in HARMLESS if name in annotations), None)
    if said in ("0", "1"):
        return said == "1"
    return matching(_SAFE, mtype) is not None or matching(also, mtype) is not None
