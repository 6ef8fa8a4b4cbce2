"""What says the version says the same one; commands are installed under the names that bin/ has."""

import re
import tomllib
from importlib.metadata import version

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
