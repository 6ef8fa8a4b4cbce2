"""docs/reference.md names everything that there is."""

import re

import click
import pytest

from hubfarm.cli.main import hubfarm
from hubfarm.cli.sampy import sampy
from hubfarm.farm import Farm
from hubfarm.registry.settings import AccessSettings, Settings, WebSettings
from hubfarm.spec.limits import Limits
from tests.stories.test_care import scrape
from tests.support import ROOT, read_lock_file

REFERENCE = (ROOT / "docs" / "reference.md").read_text()


def options_of(command: click.Command) -> set[str]:
    if isinstance(command, click.Group):
        return {name for each in command.commands.values() for name in options_of(each)}
    given = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name for option in given for name in (*option.opts, *option.secondary_opts)}


@pytest.mark.parametrize("name", hubfarm.list_commands(click.Context(hubfarm)))
def test_every_command_is_described_with_its_options_and_no_others(name: str) -> None:
    command = hubfarm.get_command(click.Context(hubfarm), name)
    assert command is not None
    row = next(line for line in REFERENCE.splitlines() if line.startswith(f"| `{name}` |"))
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", row)) == options_of(command)


def test_every_option_of_sampy_is_named() -> None:
    (paragraph,) = [text for text in REFERENCE.split("\n\n") if text.startswith("`sampy.py` runs")]
    assert set(re.findall(r"`(--?[a-zA-Z-]+)", paragraph)) >= options_of(sampy)


@pytest.mark.parametrize(
    "name", [name for kind in (Settings, AccessSettings, WebSettings, Limits) for name in kind.__struct_fields__]
)
def test_every_setting_and_limit_is_named(name: str) -> None:
    assert f"`{name}`" in REFERENCE


def test_every_token_file_and_metric_of_a_farm_is_named(farm: Farm) -> None:
    (hub,) = farm.start(label="mima", group="mima")
    for token in read_lock_file(hub.lock_file):
        assert f"`{token}`" in REFERENCE
    for path in farm.paths.runtime.iterdir():
        assert re.search(rf"`{re.escape(path.name)}[`/]", REFERENCE), path
    for metric in re.findall(r"^# TYPE (\w+) (\w+)$", scrape(farm), re.MULTILINE):
        name, kind = metric
        assert re.search(rf"`{name}`.*\| {kind} \|", REFERENCE), metric
