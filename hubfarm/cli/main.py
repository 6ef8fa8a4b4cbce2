"""``hubfarm``: the group of commands, each loaded when it is called for."""

from importlib import import_module

import click

from hubfarm.cli.errors import entry_point
from hubfarm.version import __version__

_COMMANDS = {
    "start": "hubfarm.cli.run:start",
    "ls": "hubfarm.cli.look:list_hubs",
    "stop": "hubfarm.cli.run:stop",
    "drain": "hubfarm.cli.run:drain",
    "restart": "hubfarm.cli.run:restart",
    "sleep": "hubfarm.cli.rest:sleep",
    "wake": "hubfarm.cli.rest:wake",
    "up": "hubfarm.cli.run:up",
    "upgrade": "hubfarm.cli.upgrade:upgrade",
    "env": "hubfarm.cli.use:env",
    "exec": "hubfarm.cli.use:execute",
    "choose": "hubfarm.cli.choose:choose",
    "login": "hubfarm.cli.enter:login",
    "share": "hubfarm.cli.enter:share",
    "ticket": "hubfarm.cli.enter:ticket",
    "access": "hubfarm.cli.enter:access",
    "user": "hubfarm.cli.users:user",
    "clients": "hubfarm.cli.talk:clients",
    "ping": "hubfarm.cli.talk:ping",
    "send": "hubfarm.cli.talk:send",
    "snoop": "hubfarm.cli.snoop:snoop",
    "trace": "hubfarm.cli.trace:trace",
    "load": "hubfarm.cli.talk:load",
    "web": "hubfarm.cli.web:web",
    "bridge": "hubfarm.cli.bridge:bridge",
    "bridges": "hubfarm.cli.bridge:bridges",
    "unbridge": "hubfarm.cli.bridge:unbridge",
    "connect": "hubfarm.cli.connect:connect",
    "connections": "hubfarm.cli.connect:connections",
    "disconnect": "hubfarm.cli.connect:disconnect",
    "line": "hubfarm.cli.connect:line",
    "dashboard": "hubfarm.cli.dashboard:dashboard",
    "top": "hubfarm.cli.top:top",
    "status": "hubfarm.cli.status:status",
    "history": "hubfarm.cli.look:history",
    "logs": "hubfarm.cli.logs:logs",
    "coordinator": "hubfarm.cli.coordinator:coordinator",
    "service": "hubfarm.cli.service:service",
    "gc": "hubfarm.cli.clear:gc",
    "uninstall": "hubfarm.cli.uninstall:uninstall",
}

_OTHERS_CALL = {
    "list": "ls",
    "ps": "ls",
    "kill": "stop",
    "rm": "stop",
    "run": "exec",
    "create": "start",
    "log": "logs",
    "info": "status",
    "inspect": "status",
}
"""What people type who know other tools of the kind, and what it is called here."""


class _LazyGroup(click.Group):
    """Imports a command's module when the command is called for: ``ls`` pays for no HTTP stack."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, name = _COMMANDS[cmd_name].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-") and not ctx.resilient_parsing:
            from difflib import get_close_matches

            meant = [_OTHERS_CALL[args[0]]] if args[0] in _OTHERS_CALL else []
            meant = meant or get_close_matches(args[0], _COMMANDS, n=2, cutoff=0.7)
            ctx.fail(f"there is no command {args[0]!r}" + (f": did you mean {' or '.join(meant)}?" if meant else ""))
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hubfarm")
def hubfarm() -> None:
    """Run a farm of SAMP hubs on this host.

    TOPCAT, DS9, Aladin, astropy and others talk through a hub; a farm has many, each with its
    own lock file, label, owner and group.

    \b
    hubfarm start --count 4 --group mima    four hubs
    hubfarm ls                              what runs
    hubfarm exec mima-2 -- topcat           a program on one
    hubfarm stop --group mima               the end

    A SELECTOR is a hub's id, its label or the label's unique beginning, or its PID-ID.

    Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.
    """


main = entry_point(lambda: hubfarm, "hubfarm")
