"""Is there anybody whom a restricted hub would let in?  Asked before one is started; later, users may come and go."""

from collections.abc import Iterable

from hubfarm.access.authenticators import authenticator, users_path
from hubfarm.access.host_accounts import is_account, is_group
from hubfarm.access.users import User, Users
from hubfarm.registry.paths import Paths
from hubfarm.registry.settings import load_settings
from hubfarm.samp.errors import WrongUse
from hubfarm.spec.access import Rule, Who, WhoKind
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.principal import Principal
from hubfarm.spec.states import Access


def check_somebody(specs: Iterable[HubSpec], paths: Paths) -> None:
    """Refuse a restriction that admits no user of the users file, and no account of this host.

    Of users that another authenticator knows nothing can be said.

    Raises
    ------
    WrongUse
        It admits nobody, and the message says how to add a user whom it admits; or it names an account that this host
        does not have.
    HubfarmError
        The users file cannot be read, or another authenticator cannot be used here.
    """
    restricted = [spec for spec in specs if spec.access is not Access.OPEN]
    if not restricted:
        return
    for spec in restricted:
        _check_accounts(spec.rule)
    restricted = [spec for spec in restricted if not spec.rule.names_accounts]
    if not restricted:
        return
    settings = load_settings().access
    if settings.authenticator != "file" and paths.users_file is None:
        authenticator(paths, settings)  # what it needs is missed now, and not at the first login
        return
    users = [_as_principal(user) for user in Users(users_path(settings, paths)).all()]
    for spec in restricted:
        if not any(map(spec.rule.admits, users)):
            raise WrongUse(
                f"there is no user whom a hub would let in that is for {spec.rule.in_words()}: "
                f"add one by hubfarm user add {_example_of(spec.rule)}"
            )


def _check_accounts(rule: Rule) -> None:
    for who in map(Who.parse, rule.allow):
        if who.kind is WhoKind.ACCOUNT and not is_account(who.name):
            raise WrongUse(f"this host has no account {who.name!r}: a user of the farm is user:{who.name}")
        if who.kind is WhoKind.ACCOUNT_GROUP and not is_group(who.name):
            raise WrongUse(f"this host has no group {who.name!r}: a group of the farm's users is group:{who.name}")


def _as_principal(user: User) -> Principal:
    return Principal(user=user.name, groups=user.groups, admin=user.admin)


def _example_of(rule: Rule) -> str:
    match rule.access:
        case Access.OWNER:
            return rule.owner
        case Access.GROUP:
            return f"NAME --group {rule.group}"
        case Access.LISTED:
            first = Who.parse(rule.allow[0])
            return first.name if first.kind is WhoKind.USER else f"NAME --group {first.name}"
    return "NAME"
