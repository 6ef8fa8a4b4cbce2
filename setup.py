"""What pyproject.toml cannot say: what is in C may be left out and serves all Pythons; manual pages are installed."""

from glob import glob

from setuptools import Extension, setup

setup(
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
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
    data_files=[("share/man/man1", sorted(glob("man/*.1")))],
)
