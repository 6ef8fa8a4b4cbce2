"""The directory in which accounts share hubs: what makes it, and where it is looked for, are one."""

from hubfarm.access.shared import TMPFILES
from hubfarm.registry.paths import SHARED


def test_snippet_makes_the_directory_that_is_looked_for() -> None:
    *_, line = TMPFILES.read_text().splitlines()
    assert line == f"d {SHARED} 1777 root root -"
