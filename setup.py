"""What pyproject.toml cannot say: the launchers in bin/ are installed as they are."""

from setuptools import setup

setup(scripts=["bin/hubfarm", "bin/sampy.py"])
