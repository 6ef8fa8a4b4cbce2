"""Try a random sample of the faults that mutmut can put into a room (docs/testing.md).

    python .ci/mutation.py try wire    # put them in, and see which no test of that room notices
    python .ci/mutation.py table       # what came of all that were tried

A sample is made of each file in proportion to its faults, and is the same for the same code, size and seed.
"""

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from mutmut.stats import status_by_exit_code
from mutmut.utils.format_utils import get_mutant_name

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.mutation import ROOM, ROOMS

TRIED_WHOLE = {"hubfarm/registry/select.py", "hubfarm/wire/known_heads.py"}


def files_of(room: str) -> list[Path]:
    """Return the files of a room."""
    found = sorted({path for pattern in ROOMS[room].files.split() for path in Path().glob(f"hubfarm/{pattern}.py")})
    return [path for path in found if str(path) not in TRIED_WHOLE]


def faults_in(path: Path) -> list[str]:
    """Return the names of all faults that mutmut can put into a file."""
    return [get_mutant_name(path, name) for name in mutate_file_contents(str(path), path.read_text()).mutant_names]


def sample(room: str, count: int, seed: int) -> Iterator[str]:
    """Choose `count` faults of a room, at least one of each file that has any."""
    faults = {path: names for path in files_of(room) if (names := faults_in(path))}
    share = min(1.0, count / sum(map(len, faults.values())))
    for path, names in faults.items():
        shuffled = random.Random(f"{seed} {path}").sample(names, len(names))  # so that a larger sample holds this one
        yield from shuffled[: max(1, round(share * len(names)))]


def table() -> Iterator[str]:
    """Say what became of the faults that were tried: a row for each file, and the faults that no test noticed."""
    unnoticed = []
    for room in ROOMS:
        for path in files_of(room):
            meta = Path("mutants", f"{path}.meta")
            results: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"] if meta.exists() else {}
            became = {name: status_by_exit_code[code] for name, code in results.items() if code is not None}
            left = [name for name, status in became.items() if status in ("survived", "no tests")]
            if became:
                name, noticed = path.relative_to("hubfarm"), len(became) - len(left)
                yield f"| {room} | `{name}` | {len(results)} | {len(became)} | {noticed} |"
            unnoticed += [f"{became[name]}: {name}" for name in left]
    yield from unnoticed


def main() -> None:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    trying = commands.add_parser("try", help="put a sample of faults into a room")
    trying.add_argument("room", choices=ROOMS)
    trying.add_argument("--count", type=int, default=60, help="how many")
    trying.add_argument("--seed", type=int, default=11, help="which")
    commands.add_parser("table", help="say what became of all that were tried")
    options = parser.parse_args()
    if options.command == "table":
        print(*table(), sep="\n")
        return
    names = list(sample(options.room, options.count, options.seed))
    os.environ[ROOM] = options.room
    os.execvp("mutmut", ["mutmut", "run", "--max-children", "1", *names])


if __name__ == "__main__":
    main()
