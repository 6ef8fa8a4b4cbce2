"""What a principal may do on a hub: pure decisions, asked for by the hub before anything happens."""

from collections.abc import Collection, Mapping
from typing import Protocol

from hubfarm.spec.principal import Principal
from hubfarm.spec.web_pages import WEB, page_may_send


class Policy(Protocol):
    """The rules of one hub."""

    def refusal_to_enter(self, who: Principal) -> str:
        """Return why somebody may not register, in words for them; empty if they may."""

    def refusal_to_watch(self, who: Principal) -> str:
        """Return why somebody may not see what all others say, in words for them; empty if they may."""

    def may_send(self, who: Principal, mtype: str, annotations: Mapping[str, object]) -> bool:
        """Tell whether a message may go to a receiver.

        Parameters
        ----------
        who : Principal
            The sender.
        mtype : str
            The message's.
        annotations : mapping
            What the receiver's subscription to it says (SAMP 1.3, 3.7).
        """


class Open:
    """All who came in may do everything, but for web pages.

    Parameters
    ----------
    web_mtypes : collection of str
        What pages may send beside what does no harm.
    """

    def __init__(self, web_mtypes: Collection[str] = ()) -> None:
        self._web_mtypes = frozenset(web_mtypes)

    def refusal_to_enter(self, who: Principal) -> str:
        """Refuse nobody."""
        return ""

    def refusal_to_watch(self, who: Principal) -> str:
        """Refuse nobody: who asks is of the farm's account, and that is asked for before."""
        return ""

    def may_send(self, who: Principal, mtype: str, annotations: Mapping[str, object]) -> bool:
        """Let every message pass, and of a page's those that do no harm."""
        return who.profile != WEB or page_may_send(mtype, annotations, self._web_mtypes)


OPEN: Policy = Open()
