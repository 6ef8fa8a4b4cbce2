"""What a worker runs, laid side by side: the code of functions that the rehearsal calls is made anew, in one go.

A call counts one more reference to the function's code, and so copies the page that the code lies on.  Code lies
where its module was loaded, among what no worker calls; packed, it takes a third of the pages.
docs/decisions/0005-what-is-done-before-forks.md says what that spares.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType


@contextlib.contextmanager
def packing() -> Iterator[None]:
    """Pack the code of all Python functions that are called meanwhile."""
    called: dict[int, CodeType] = {}  # by id: codes of different files may be equal

    def note(frame: FrameType, _event: str, _arg: object) -> None:
        called[id(frame.f_code)] = frame.f_code

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
    _pack(called)


def _pack(called: dict[int, CodeType]) -> None:
    fresh: dict[int, CodeType] = {}

    def anew(code: CodeType) -> CodeType:
        if id(code) not in fresh:
            inner = tuple(anew(each) if id(each) in called else each for each in code.co_consts)
            fresh[id(code)] = code.replace(co_consts=inner)
        return fresh[id(code)]

    for each in gc.get_objects():
        if isinstance(each, FunctionType) and id(each.__code__) in called:
            each.__code__ = anew(each.__code__)
