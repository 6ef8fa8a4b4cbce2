"""Who may enter a hub: the words in which that is asked for, and the rule that they make.  Pure.

Theory of operation: a newcomer shows something at a door (the lock file's secret, a password, a ticket), and the door
makes a `Principal` of what is proved by it.  `Restricted` holds the principal against what the hub was asked to be.  It
believes what stands in a principal, and nothing that a client says of itself.
"""

from collections.abc import Collection
from enum import StrEnum

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import check_name
from hubfarm.spec.policy import Open
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import Access
from hubfarm.spec.web_pages import WEB


class WhoKind(StrEnum):
    """What ``--allow`` can name."""

    USER = "user"
    GROUP = "group"
    ACCOUNT = "account"
    """An account of this host, by the kernel's word."""
    ACCOUNT_GROUP = "account-group"
    """The accounts of a group of this host, likewise."""


class Who(msgspec.Struct, frozen=True):
    """One of those that ``--allow`` names.

    Parameters
    ----------
    kind : WhoKind
        What is named.
    name : str
        Its name.

    Examples
    --------
    >>> Who.parse("group:mima").name
    'mima'
    """

    kind: WhoKind
    name: str

    @classmethod
    def parse(cls, text: str) -> "Who":
        """Read ``KIND:NAME``.

        Raises
        ------
        WrongUse
            It is something else.
        """
        kind, colon, name = text.partition(":")
        if not colon or kind not in list(WhoKind):
            known = ", ".join(f"{each}:NAME" for each in WhoKind)
            raise WrongUse(f"this names nobody who could be allowed: {text[:120]!r}; write one of {known}")
        return cls(WhoKind(kind), check_name(name, f"the name of a {kind}"))

    def is_met_by(self, who: Principal) -> bool:
        """Tell whether somebody is the one, or one of those, that this names."""
        match self.kind:
            case WhoKind.USER:
                return who.user == self.name
            case WhoKind.GROUP:
                return self.name in who.groups
            case WhoKind.ACCOUNT:
                return who.account == self.name
            case WhoKind.ACCOUNT_GROUP:
                return self.name in who.account_groups


def check_allow(allow: Collection[str]) -> Collection[str]:
    """Return `allow` if each entry names somebody who can be allowed.

    Raises
    ------
    WrongUse
        One does not.
    """
    for each in allow:
        Who.parse(each)
    return allow


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Who may enter one hub.

    Parameters
    ----------
    access : Access
        Whom it lets in.
    owner, group : str
        The hub's; empty for none.
    allow : tuple of str
        Who else, as `Who.parse` reads it.

    Raises
    ------
    WrongUse
        It would admit nobody, or would not do what is meant; the message says what to add.

    Examples
    --------
    >>> Rule(access=Access.GROUP, group="mima").admits(Principal(user="luigi", groups=("mima",)))
    True
    >>> Rule(access=Access.GROUP)
    Traceback (most recent call last):
    hubfarm.samp.errors.WrongUse: access is group, and the hub is of no group: name it by --group
    """

    access: Access = Access.OPEN
    owner: str = ""
    group: str = ""
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        match self.access:
            case Access.OPEN if self.allow:
                raise WrongUse("an open hub lets in everybody: say --access listed too, or users, group or owner")
            case Access.GROUP if not self.group:
                raise WrongUse("access is group, and the hub is of no group: name it by --group")
            case Access.OWNER if not self.owner:
                raise WrongUse("access is owner, and the hub has no owner: name one by --owner")
            case Access.LISTED if not self.allow:
                raise WrongUse("access is listed, and nobody is: name them by --allow, as --allow user:luigi")
        check_allow(self.allow)

    def admits(self, who: Principal) -> bool:
        """Tell whether somebody may enter."""
        match self.access:
            case Access.OPEN:
                return True
            case Access.USERS if who.user:
                return True
            case Access.GROUP if self.group in who.groups:
                return True
            case Access.OWNER if who.user == self.owner:
                return True
        return who.admin or any(Who.parse(each).is_met_by(who) for each in self.allow)

    def is_within(self, other: "Rule") -> bool:
        """Tell whether this lets in nobody whom another rule of the same hub does not; by its words alone.

        Examples
        --------
        >>> Rule(access=Access.LISTED, allow=("user:anna",)).is_within(Rule(access=Access.USERS))
        True
        """
        if other.access is Access.OPEN:
            return True
        of_users = other.access is Access.USERS and self.access is not Access.OPEN
        same = (self.access, self.owner, self.group) == (other.access, other.owner, other.group)
        if not (of_users or same or self.access is Access.LISTED):
            return False
        users = (WhoKind.USER, WhoKind.GROUP) if of_users else ()
        return all(each in other.allow or Who.parse(each).kind in users for each in self.allow)

    @property
    def names_accounts(self) -> bool:
        """Whether accounts of this host may enter, by the kernel's word."""
        return any(Who.parse(each).kind in (WhoKind.ACCOUNT, WhoKind.ACCOUNT_GROUP) for each in self.allow)

    def in_words(self) -> str:
        """Say whom it lets in.

        Examples
        --------
        >>> Rule(access=Access.OWNER, owner="luigi", allow=("group:mima",)).in_words()
        'its owner luigi, group:mima'
        """
        if self.access is Access.OPEN:
            return "everybody"
        listed = {Access.USERS: ["its users"], Access.GROUP: [f"the group {self.group}"]}
        listed[Access.OWNER] = [f"its owner {self.owner}"]
        return ", ".join([*listed.get(self.access, []), *self.allow])


class Restricted(Open):
    """The policy of a hub that does not let in everybody; who is in may do what may be done on an open one.

    Parameters
    ----------
    rule : Rule
        Who may enter.
    name : str
        What people call the hub.
    web_mtypes : collection of str
        As for `Open`.
    """

    def __init__(self, rule: Rule, name: str, web_mtypes: Collection[str] = ()) -> None:
        super().__init__(web_mtypes)
        self._rule = rule
        self._name = name

    def refusal_to_enter(self, who: Principal) -> str:
        """Say how to enter to somebody who has proved nothing, and whom to ask to a user who may not."""
        if self._rule.admits(who):
            return ""
        for_whom = f"this hub is for {self._rule.in_words()}"
        if who.user:
            return f"{for_whom}: the user {who.user} is none of them; hubfarm access {self._name} can change it"
        if who.profile == WEB:
            return f"{for_whom}, and a web page is nobody in particular"
        return (
            f"{for_whom}: start the program by hubfarm exec --user NAME {self._name} -- PROGRAM, "
            f"or log in by hubfarm login {self._name} --user NAME"
        )

    def refusal_to_watch(self, who: Principal) -> str:
        """Let the hub's owner and administrators watch."""
        owner = self._rule.owner
        if who.admin or (owner and who.user == owner):
            return ""
        whom = f"its owner {owner} and administrators" if owner else "administrators"
        how = "" if who.user else "; log in by hubfarm login, or say --user NAME"
        return f"the hub {self._name} is for {self._rule.in_words()}, and may be watched by {whom}{how}"
