"""Objects made after the heap was sealed lie side by side, and not in holes among those that were there."""

import subprocess
import sys

import pytest

_LOOK = """
import sys
from hubfarm.prefork.sealing import seal

SIZE = int(sys.argv[1])

def make(count):
    return [bytes(SIZE - bytes.__basicsize__) for _ in range(count)]

def holes(objects):
    return sum(after - before != SIZE for before, after in zip(objects, objects[1:]))

old = make(3000)
kept = old[::3]
del old
if sys.argv[2] == "sealed":
    seal()
print(holes([id(each) for each in make(90)]))
"""


@pytest.mark.parametrize("size", [48, 64, 128])
def test_new_objects_lie_side_by_side(size: int) -> None:
    def holes(how: str) -> int:
        return int(subprocess.check_output([sys.executable, "-c", _LOOK, str(size), how]))

    assert holes("as it is") > 40
    assert holes("sealed") < 10  # what the interpreter itself freed meanwhile
