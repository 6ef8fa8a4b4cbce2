"""What other packagers are handed says the same as pyproject.toml: version, commands, what it needs."""

import re
import tomllib

import pytest
import yaml

from hubfarm.version import __version__
from tests.support import ROOT, need_module

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IN_CONDA = {"prometheus-client": "prometheus_client", "xxhash": "python-xxhash"}
"""Names that conda-forge has otherwise than PyPI."""


def test_conda_recipe_is_of_this_version_and_needs_what_the_package_needs() -> None:
    recipe = yaml.safe_load((ROOT / "conda" / "recipe.yaml").read_text())
    assert recipe["context"]["version"] == __version__
    needed = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["top"]]
    split = [re.fullmatch(r"([\w.-]+)(.*)", each) for each in needed]
    expected = {f"{IN_CONDA.get(found[1], found[1])} {found[2]}" for found in split if found}
    assert set(recipe["requirements"]["run"]) == expected | {f"python {PROJECT['requires-python']}"}
    points = {
        name.strip(): what.strip() for name, what in (e.split("=") for e in recipe["build"]["python"]["entry_points"])
    }
    assert points == PROJECT["scripts"]
    assert recipe["about"]["summary"] == PROJECT["description"]


@pytest.mark.interop
def test_conda_recipe_is_read_and_filled_in_by_what_builds_it() -> None:
    rattler = need_module("rattler_build")
    recipe = rattler.Stage0Recipe.from_file(ROOT / "conda" / "recipe.yaml")
    (variant,) = recipe.render(rattler.VariantConfig({"c_compiler": ["gcc"], "c_stdlib": ["sysroot"]}))
    told = str(variant.recipe.to_dict())
    assert __version__ in told
    assert "hubfarm.cli.main:main" in told


def test_debian_package_is_of_this_version() -> None:
    first = (ROOT / "debian" / "changelog").read_text().partition("\n")[0]
    assert re.fullmatch(rf"hubfarm \({re.escape(__version__)}-\d+\) \S+; urgency=medium", first)
