"""What says the version says the same one; commands are installed under the names that bin/ has."""

import re
import tomllib
from html import unescape
from importlib.metadata import version
from runpy import run_path

from hubfarm.version import __version__
from tests.support import ROOT


def test_newest_section_of_the_changelog_is_of_this_version() -> None:
    sections = re.findall(r"^## (\S+) \((\d{4}-\d\d-\d\d|unreleased)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert sections[0][0] == __version__
    assert len({number for number, _ in sections}) == len(sections)


def test_what_is_installed_is_of_this_version() -> None:
    assert version("hubfarm") == __version__, "install it again: pip install -e ."


def test_manual_pages_are_of_this_version() -> None:
    for page in (ROOT / "man").glob("*.1"):
        assert f'"{__version__}"' in page.read_text().partition("\n")[0], f"{page.name}: run tox -e man"


def test_each_launcher_is_also_a_script_of_the_package() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    launchers = {path.name: path.read_text() for path in (ROOT / "bin").iterdir()}
    assert scripts.keys() == launchers.keys()
    for name, entry in scripts.items():
        module, _, function = entry.partition(":")
        assert f"from {module} import {function}\n" in launchers[name]


def test_picture_of_the_first_ten_minutes_shows_the_commands_that_are_typed_for_it() -> None:
    recorder = run_path(str(ROOT / ".ci" / "record.py"))
    picture = re.sub(r"<[^>]*>", "", (ROOT / "docs" / "first-ten-minutes.svg").read_text())
    shown = unescape(picture).replace("\N{NO-BREAK SPACE}", " ")
    for command in recorder["COMMANDS"]:
        assert f"$ {command}" in shown, "python .ci/record.py"
    assert __version__ in shown, "python .ci/record.py"
