"""Every example in a docstring runs, and shows what it says."""

import doctest
import importlib
import pkgutil

import pytest

import hubfarm

ACTING = ("__main__", "as_astropy_samp")
"""Modules that do something when they are imported."""
MODULES = [name for _, name, _ in pkgutil.walk_packages(hubfarm.__path__, "hubfarm.") if not name.endswith(ACTING)]


@pytest.mark.usefixtures("farm")
@pytest.mark.parametrize("name", ["hubfarm", *MODULES])
def test_docstring_examples_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
