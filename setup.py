"""What pyproject.toml cannot say: the launchers in bin/ are installed as they are, and what is in C may be left out."""

from setuptools import Extension, setup

setup(
    scripts=["bin/hubfarm", "bin/samp_hub", "bin/sampy.py"],
    # Optional: where there is no compiler, hubfarm/samp/expat_reader.py takes its place.
    ext_modules=[
        Extension(
            "hubfarm.samp._codec",
            ["hubfarm/samp/_codec.c"],
            py_limited_api=True,
            extra_compile_args=["-O3"],  # the search for the end of a text becomes one with vectors
            optional=True,
        )
    ],
)
