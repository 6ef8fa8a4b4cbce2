"""Accounts of this host and their groups, as its name service tells them.  That may take seconds: LDAP, say."""

import grp
import os
import pwd
from functools import lru_cache
from typing import NamedTuple


class Account(NamedTuple):
    """One account.

    Parameters
    ----------
    name : str
        Its name; its number, if it has none.
    groups : tuple of str
        Of which groups it is, by their names.
    """

    name: str
    groups: tuple[str, ...] = ()


def account_of(uid: int) -> Account:
    """Return the account of this number.

    Examples
    --------
    >>> account_of(0).name
    'root'
    """
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return Account(str(uid))
    return Account(name, groups_of(name))


@lru_cache(maxsize=1000)
def name_of(uid: int) -> str:
    """Return what the account of this number is called; asked once, as others make us ask by connecting."""
    return account_of(uid).name


def groups_of(account: str) -> tuple[str, ...]:
    """Return the names of an account's groups."""
    try:
        ids = os.getgrouplist(account, pwd.getpwnam(account).pw_gid)
    except KeyError:
        return ()
    names = []
    for each in ids:
        try:
            names.append(grp.getgrgid(each).gr_name)
        except KeyError:
            continue  # a group without a name is nobody's to allow
    return tuple(names)


def is_account(name: str) -> bool:
    """Tell whether there is an account of this name."""
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def is_group(name: str) -> bool:
    """Tell whether there is a group of accounts of this name."""
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
