"""``hubfarm user``: who there is, of which groups, and with which password."""

import click

from hubfarm.access.authenticators import authenticator
from hubfarm.access.users import User, Users
from hubfarm.cli.asking import password_of, password_option
from hubfarm.cli.listing import View, listing
from hubfarm.cli.options import json_option
from hubfarm.cli.show import print_json, say
from hubfarm.cli.table import Column, Cut
from hubfarm.farm import Farm
from hubfarm.registry.settings import load_settings
from hubfarm.samp.errors import HubfarmError, WrongUse

disconnect_option = click.option("--disconnect", is_flag=True, help="Throw the user's clients out of all hubs too.")


@click.group()
def user() -> None:
    """Users of the farm: they enter restricted hubs by password or ticket.

    \b
    hubfarm user add luigi --group mima   asks a password
    hubfarm user ls                       who there is
    """


def _users() -> Users:
    """Return the users file, if it is the one that counts.

    Raises
    ------
    WrongUse
        PAM knows who there is, and not this file; or the settings name no authenticator.
    HubfarmError
        The authenticator that the settings name cannot be used here.
    """
    farm = Farm()
    settings = load_settings().access
    authenticator(farm.paths, settings)
    if settings.authenticator == "pam":
        raise WrongUse("users and their passwords are PAM's, by the setting access.authenticator: change them there")
    return farm.users


@user.command()
@click.argument("name")
@click.option("--group", "groups", multiple=True, metavar="G", help="Of this group; may be given several times.")
@click.option("--admin", is_flag=True, help="May enter every hub.")
@password_option
def add(name: str, groups: tuple[str, ...], admin: bool, password_file: str | None) -> None:
    """Add a user.

    \b
    Example:
      hubfarm user add luigi --group mima --group oact
    """
    users = _users()
    if users.get(name) is not None:
        raise WrongUse(f"there is a user {name} already: hubfarm user set and passwd change it")
    users.add(name, password_of(name, password_file, twice=True), groups=groups, admin=admin)
    say(f"added {name}")


@user.command()
@click.argument("name")
@password_option
@disconnect_option
def passwd(name: str, password_file: str | None, disconnect: bool) -> None:
    """Change a user's password; the user's tickets end.

    \b
    Example:
      hubfarm user passwd luigi
    """
    users = _users()
    users.known(name)
    users.change(name, password=password_of(name, password_file, twice=True), disconnect=disconnect)
    say(f"changed the password of {name}")


@user.command("set")
@click.argument("name")
@click.option("--group", "groups", multiple=True, metavar="G", help="Of these groups from now on, and no others.")
@click.option("--no-groups", is_flag=True, help="Of no group from now on.")
@click.option("--admin/--no-admin", default=None, help="May enter every hub, or not.")
@disconnect_option
def change(name: str, groups: tuple[str, ...], no_groups: bool, admin: bool | None, disconnect: bool) -> None:
    """Change a user's groups, or whether it is an administrator; the user's tickets end.

    \b
    Example:
      hubfarm user set luigi --group vandels --disconnect
    """
    if groups and no_groups:
        raise WrongUse("give groups or --no-groups, not both")
    if not groups and not no_groups and admin is None:
        raise WrongUse("say what to change: --group G …, --no-groups, --admin or --no-admin")
    changed = _users().change(name, groups=groups if groups or no_groups else None, admin=admin, disconnect=disconnect)
    say(f"{name} is of {', '.join(changed.groups) or 'no group'}" + (", and an administrator" if changed.admin else ""))


@user.command("rm")
@click.argument("names", nargs=-1, required=True, metavar="NAME…")
@disconnect_option
def remove(names: tuple[str, ...], disconnect: bool) -> None:
    """Remove users; their tickets end.

    \b
    Example:
      hubfarm user rm luigi --disconnect
    """
    users = _users()
    for name in names:
        users.known(name)
    for name in names:
        users.remove(name, disconnect=disconnect)
    say(f"removed {', '.join(names)}")


@user.command("disconnect")
@click.argument("name")
def throw_out(name: str) -> None:
    """Throw a user's clients out of all hubs, and end the user's tickets; the user may come again.

    \b
    Example:
      hubfarm user disconnect luigi
    """
    users = Farm().users
    if load_settings().access.authenticator == "file" and not users.has_met(name):
        raise HubfarmError(f"nobody was disconnected: there is no user {name!r}, and there was none")
    users.disconnect(name)
    say(f"disconnected {name}")


USER_COLUMNS: list[Column[User]] = [
    Column(name="user", of=lambda user: user.name, priority=1, cut=Cut.END, floor=16),
    Column(name="groups", of=lambda user: " ".join(user.groups), priority=2, cut=Cut.END, floor=16),
    Column(name="role", of=lambda user: "admin" if user.admin else "", priority=2),
]


@user.command("ls")
@listing(USER_COLUMNS)
@json_option
def list_users(view: View[User], as_json: bool) -> None:
    """List the users.

    \b
    Example:
      hubfarm user ls --json
    """
    users = _users().all()
    if as_json:
        print_json([each.as_json() for each in users])
    else:
        view.show(lambda: users, "there are no users; hubfarm user add adds one")
