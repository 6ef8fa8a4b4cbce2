"""What pyproject.toml cannot say: the launchers in bin/ are installed as they are, and what is in C may be left out."""

from setuptools import Extension, setup

setup(
    scripts=["bin/hubfarm", "bin/sampy.py"],
    # Optional: where there is no compiler, hubfarm/samp/nested.py takes its place.
    ext_modules=[Extension("hubfarm.samp._nested", ["hubfarm/samp/_nested.c"], optional=True)],
)
