"""Tables that fit: columns and rows in, and a width; cells out that a line holds.

Rules: the most important columns come first to the room that there is, a cell that is too long is cut and says so by an
ellipsis, nothing is ever wrapped, and whatever was left out is told.  Pure: it knows no hub, no terminal and no colour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar
from unicodedata import combining, east_asian_width

from hubfarm.samp.errors import WrongUse
from hubfarm.visible import visible

T = TypeVar("T")

GAP = "  "
"""What stands between two columns."""

ELLIPSIS = "…"

SHARE = 5
"""A column that matters has this part of the line before others have any."""

NOTHING = ("", "-")
"""Cells that say nothing: a column that has no others is empty."""


class Cut(Enum):
    """Which part of a cell that is too long gives way."""

    NEVER = "never"
    """None: a number or an address that is cut is wrong."""
    END = "end"
    MIDDLE = "middle"
    """Of a path both ends tell more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column(Generic[T]):
    """One column of a table.

    Parameters
    ----------
    name : str
        What ``--columns``, ``--sort`` and ``--format`` call it.
    of : callable
        Returns its value of a row; tables are sorted by it.
    text : callable
        Writes a value; None as ``-``.
    header : str
        Its head; by default its name in capitals.
    priority : int
        Which columns have room first: 1 before 2. 0: it is shown to those who ask for it.
    right : bool
        Whether cells stand on the right, as numbers do.
    cut : Cut
        How a cell gives way.
    floor : int
        Under this width the whole column gives way.
    dull : str
        What a cell says that says nothing, beside `NOTHING`: the host of a host's own hubs.
    rare : bool
        Left out where it is empty even if no terminal shows it, where scripts count columns.
    largest_first : bool
        How one sorts by it: the largest first, or the least.
    """

    name: str
    of: Callable[[T], Any]
    text: Callable[[Any], str] = lambda value: "-" if value is None else str(value)
    header: str = ""
    priority: int = 5
    right: bool = False
    cut: Cut = Cut.NEVER
    floor: int = 8
    dull: str = ""
    rare: bool = False
    largest_first: bool = False

    @property
    def head(self) -> str:
        """What stands above it."""
        return self.header or self.name.upper().replace("_", " ")

    def cell(self, row: T) -> str:
        """Return what is shown of a row, on one line."""
        return visible(self.text(self.of(row)))

    def is_empty(self, cells: Sequence[str]) -> bool:
        """Whether these cells say nothing."""
        return all(cell in NOTHING or cell == self.dull for cell in cells)


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as it is printed: cells padded to their columns' widths, the heads first.

    Parameters
    ----------
    lines : list of list of str
        The cells of each line.
    left_out : list of str
        The heads of columns for which there was no room.
    cut : int
        How many cells were cut.
    """

    lines: list[list[str]]
    left_out: list[str]
    cut: int

    def remark(self, width: int, how: str = "") -> str:
        """Say in one line what was left out, and how it can be seen; empty if nothing was.

        Examples
        --------
        >>> Grid([], ["PID", "URL"], 1).remark(80, "--wide shows all")
        'no room for PID, URL; 1 cell cut; --wide shows all'
        >>> Grid([], ["MESSAGES", "UPTIME", "URL"], 0).remark(40, "--wide shows all")
        'no room for 3 columns; --wide shows all'
        """
        cut = f"{self.cut} cell{'s' if self.cut > 1 else ''} cut" if self.cut else ""
        if not (self.left_out or cut):
            return ""
        said = ""
        for what in (", ".join(self.left_out), f"{len(self.left_out)} column{'s' if len(self.left_out) > 1 else ''}"):
            said = "; ".join(filter(None, (f"no room for {what}" if self.left_out else "", cut, how)))
            if len(said) <= width:
                break
        return said


# ---------------------------------------------------------------------- which columns, in which order


def named(columns: Sequence[Column[T]], names: str) -> list[Column[T]]:
    """Return the columns of a list as ``label,url``.

    Raises
    ------
    WrongUse
        There is no such column; the message lists those that are.
    """
    return [column_of(columns, name.strip()) for name in names.split(",")]


def column_of(columns: Sequence[Column[T]], name: str) -> Column[T]:
    """Return the column that is called so, as `named`."""
    for column in columns:
        if column.name == name.lower().replace("-", "_"):
            return column
    raise WrongUse(f"there is no column {name!r}: there are {', '.join(column.name for column in columns)}")


def sorted_by(columns: Sequence[Column[T]], rows: Sequence[T], by: str) -> list[T]:
    """Return the rows in the order of a column; with ``-`` before its name the other way round.

    What is not known comes last.

    Raises
    ------
    WrongUse
        There is no such column.
    """
    column = column_of(columns, by.removeprefix("-"))
    known = [row for row in rows if column.of(row) is not None]
    backwards = column.largest_first != by.startswith("-")
    return sorted(known, key=lambda row: _key(column.of(row)), reverse=backwards) + [
        row for row in rows if column.of(row) is None
    ]


def _key(value: Any) -> Any:
    return value if isinstance(value, int | float) else str(value).casefold()


# ---------------------------------------------------------------------- what fits


def plain(columns: Sequence[Column[T]], rows: Sequence[T], *, all_of_them: bool = False) -> Grid:
    """Lay out every column, uncut: for pipes, and for those who ask for all of it.

    Parameters
    ----------
    columns, rows : sequence
        What there is.
    all_of_them : bool
        Somebody has named the columns: rare ones too.
    """
    cells = {column.name: [column.cell(row) for row in rows] for column in columns}
    chosen = [column for column in columns if all_of_them or not (column.rare and column.is_empty(cells[column.name]))]
    return _grid(chosen, cells, {column.name: _natural(column, cells[column.name]) for column in chosen}, [])


def fitted(columns: Sequence[Column[T]], rows: Sequence[T], width: int, *, all_of_them: bool = False) -> Grid:
    """Lay out what `width` cells of a terminal hold.

    Parameters
    ----------
    columns, rows : sequence
        What there is; columns of priority 0 are not for here.
    width : int
        Of the terminal.
    all_of_them : bool
        Somebody has named the columns: they are cut before one is left out.
    """
    cells = {column.name: [column.cell(row) for row in rows] for column in columns}
    wanted = [column for column in columns if all_of_them or not column.is_empty(cells[column.name])]
    natural = {column.name: _natural(column, cells[column.name]) for column in wanted}
    least = {column.name: _least(column, natural[column.name], width) for column in wanted}
    chosen, room = set[str](), width + len(GAP)
    for column in sorted(wanted, key=lambda column: column.priority):
        takes = least[column.name] + len(GAP)
        if takes <= room or all_of_them or not chosen:
            chosen.add(column.name)
            room -= takes
    shown = [column for column in wanted if column.name in chosen]
    widths = {}
    for column in sorted(shown, key=lambda column: column.priority):
        more = min(natural[column.name] - least[column.name], max(room, 0))
        widths[column.name] = least[column.name] + more
        room -= more
    return _grid(shown, cells, widths, [column.head for column in wanted if column.name not in chosen])


def _natural(column: Column[T], cells: Sequence[str]) -> int:
    return max(map(width_of, (column.head, *cells)))


def _least(column: Column[T], natural: int, width: int) -> int:
    if column.cut is Cut.NEVER:
        return natural
    share = width // SHARE if column.priority <= 2 else 0
    return min(natural, max(column.floor, width_of(column.head), share))


def _grid(
    columns: Sequence[Column[T]], cells: dict[str, list[str]], widths: dict[str, int], left_out: list[str]
) -> Grid:
    heads = [_padded(column.head, widths[column.name], right=column.right) for column in columns]
    lines, cut = [heads], 0
    for row in zip(*(cells[column.name] for column in columns), strict=True):
        line = []
        for column, cell in zip(columns, row, strict=True):
            width = widths[column.name]
            shown = shortened(cell, width, column.cut)
            cut += shown != cell
            line.append(_padded(shown, width, right=column.right))
        lines.append(line)
    return Grid(lines, left_out, cut)


def shortened(text: str, width: int, cut: Cut = Cut.END) -> str:
    """Return `text` cut to so many cells of a terminal.

    Examples
    --------
    >>> shortened("reduction-of-the-night", 12), shortened("/home/luigi/.samp-1/samp-hub-1-1", 12, Cut.MIDDLE)
    ('reduction-o…', '/home/…b-1-1')
    """
    if cut is Cut.NEVER or width_of(text) <= width:
        return text
    room = max(width - 1, 0)
    tail = room // 2 if cut is Cut.MIDDLE else 0
    return f"{_head(text, room - tail)}{ELLIPSIS}{_head(text[::-1], tail)[::-1]}" if width > 0 else ""


def _head(text: str, room: int) -> str:
    if text.isascii():
        return text[:room]
    for end, character in enumerate(text):
        room -= width_of(character)
        if room < 0:
            return text[:end]
    return text


def width_of(text: str) -> int:
    """Return how many cells of a terminal a text takes: two for each character of Chinese, none for accents.

    Examples
    --------
    >>> width_of("größe"), width_of("星"), width_of("e\u0301")
    (5, 2, 1)
    """
    if text.isascii():
        return len(text)
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def _padded(text: str, width: int, *, right: bool) -> str:
    blanks = " " * (width - width_of(text))
    return blanks + text if right else text + blanks
