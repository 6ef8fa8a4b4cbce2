"""Run one target under atheris: ``python -m tests.fuzz.run TARGET [libFuzzer's options]``.

The corpus of the target (``tests/corpus/TARGET``) is read; what is new goes where ``--keep DIRECTORY``
says, or nowhere.
"""

import importlib
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parents[1] / "corpus"
DICTIONARIES = {
    "xmlrpc": "xmlrpc",
    "codec": "xmlrpc",
    "http": "http",
    "heads": "http",
    "answers": "xmlrpc",
    "lock_files": "lock_files",
    "control": "control",
    "users": "access",
    "tickets": "access",
    "gateway": "gateway",
    "web_files": "gateway",
}
"""The words of each target's language, which the fuzzer would be long in finding."""
INSTRUMENTED = [
    "hubfarm.access",
    "hubfarm.samp",
    "hubfarm.wire",
    "hubfarm.worker",
    "hubfarm.registry",
    "hubfarm.registry.listing",
    "hubfarm.client.discovery",
    "hubfarm.gateway",
    "hubfarm.control.protocol",
    "hubfarm.spec",
    "hubfarm.visible",
]


def main() -> None:
    """Instrument what is fuzzed, then fuzz."""
    import atheris

    name, options = sys.argv[1], sys.argv[2:]
    keep = tempfile.mkdtemp()
    if options[:1] == ["--keep"]:
        keep, options = options[1], options[2:]
    if name in DICTIONARIES:
        options.append(f"-dict={Path(__file__).parent / DICTIONARIES[name]}.dict")
    with atheris.instrument_imports(include=INSTRUMENTED):
        targets = importlib.import_module("tests.fuzz.targets")
    atheris.Setup([sys.argv[0], keep, str(CORPUS / name), *options], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
