"""How a listing is asked for: one set of options for every command that prints a table, and the table itself."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any, Generic

import click
from click.shell_completion import CompletionItem

from hubfarm.cli.show import dim, print_lines, redraw, say, table_lines, terminal_width
from hubfarm.cli.table import Column, T, column_of, fitted, named, plain, sorted_by
from hubfarm.samp.errors import WrongUse

EVERY = 2.0
"""Seconds between two looks of ``--watch``."""


@dataclass(frozen=True, slots=True)
class View(Generic[T]):
    """How a user wants to see a table.

    Parameters
    ----------
    columns : sequence of Column
        All that there are.
    wide : bool
        Cut nothing, leave nothing out.
    names : str
        The columns that are wanted, ``label,url``; empty for those that matter and fit.
    template : str
        One line a row, as ``{label}\\t{url}``; instead of a table.
    sort : str
        The column whose order it is; empty for the order of the rows.
    every : float
        Look again after so many seconds, on and on; 0 to look once.
    hint : str
        How the user sees what there was no room for.

    Raises
    ------
    WrongUse
        There is no such column, or the template is none.
    """

    columns: Sequence[Column[T]]
    wide: bool = False
    names: str = ""
    template: str = ""
    sort: str = ""
    every: float = 0.0
    hint: str = ""

    def __post_init__(self) -> None:
        self.chosen()
        self._filled([])
        sorted_by(self.columns, [], self.sort or self.columns[0].name)

    def show(
        self,
        look: Callable[[], Sequence[T]],
        nothing: str = "",
        warning: Callable[[Sequence[T]], str] = lambda rows: "",
    ) -> None:
        """Print what `look` returns, once or on and on.

        Parameters
        ----------
        look : callable
            Returns the rows.
        nothing : str
            What to say if there are none, instead of a table without rows.
        warning : callable
            Returns a line that the user should read too about these rows, or nothing.
        """
        if self.every:
            redraw(lambda: self.frame(look(), nothing, warning), self.every)
            return
        rows = look()
        if rows or not nothing:
            print_lines(self.lines(rows, terminal_width()))
        else:
            say(nothing, err=True)
        if warned := warning(rows):
            say(warned, err=True)

    def frame(self, rows: Sequence[T], nothing: str, warning: Callable[[Sequence[T]], str]) -> list[str]:
        """Return what `show` prints, as lines for who prints it again and again; the warning first."""
        width = terminal_width()
        warned = warning(rows)
        lines = self.lines(rows, width) if rows or not nothing else [nothing]
        return [*([dim(warned, width or len(warned))] if warned else []), *lines]

    def sorted(self, rows: Sequence[T]) -> Sequence[T]:
        """Return the rows in the order that was asked for."""
        return sorted_by(self.columns, rows, self.sort) if self.sort else rows

    def lines(self, rows: Sequence[T], width: int | None) -> list[str]:
        """Return what is printed, for a terminal of so many cells a line, or for none."""
        rows = self.sorted(rows)
        if self.template:
            return self._filled(rows)
        if width is None or self.wide:
            return table_lines(plain(self.chosen(), rows, all_of_them=bool(self.names)), width)
        grid = fitted(self.chosen(), rows, width, all_of_them=bool(self.names))
        return table_lines(grid, width, self.hint)

    def chosen(self) -> list[Column[T]]:
        """Return the columns that were asked for, or those that there are for all."""
        if self.names:
            return named(self.columns, self.names)
        return [column for column in self.columns if column.priority]

    def _filled(self, rows: Sequence[T]) -> list[str]:
        template = self.template.replace("\\t", "\t").replace("\\n", "\n")
        try:
            parts = list(Formatter().parse(template))
        except ValueError as error:
            raise WrongUse(f"--format is {self.template!r}: {error}; write it as {{label}}") from None
        if any(spec or conversion for _, _, spec, conversion in parts):
            raise WrongUse(f"--format is {self.template!r}: only names of columns stand in braces")
        fields = [(text, None if name is None else column_of(self.columns, name)) for text, name, _, _ in parts]
        return ["".join(text + (column.cell(row) if column else "") for text, column in fields) for row in rows]


def print_table(columns: Sequence[Column[T]], rows: Sequence[T], hint: str = "") -> None:
    """Print a table as it is printed when nobody says how."""
    View(columns, hint=hint).show(lambda: rows)


def listing(columns: Sequence[Column[T]], *, watch: bool = False, sort: str = "") -> Callable[..., Any]:
    """Add the options by which a user says how a table is to be seen; the command gets them as `view`.

    Parameters
    ----------
    columns : sequence of Column
        The table's.
    watch : bool
        Also ``--watch``.
    sort : str
        The column by which it is sorted unless the user says another.
    """
    names = ", ".join(column.name for column in columns)
    flags = [
        click.option("--wide", is_flag=True, help="All columns, nothing cut."),
        click.option(
            "--columns", "names", default="", metavar="A,B", shell_complete=_complete(columns), help=f"Which: {names}."
        ),
        click.option("--format", "template", default="", metavar="TEXT", help="A line a row, as '{label}\\t{url}'."),
        click.option(
            "--sort",
            default=sort,
            metavar="COLUMN",
            shell_complete=_complete(columns),
            help="By this column; -COLUMN the other way round.",
        ),
    ]
    if watch:
        flags.append(click.option("--watch", is_flag=True, help=f"Look again every {EVERY:g} s, until Ctrl-C."))

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(
            *,
            wide: bool,
            names: str,
            template: str,
            sort: str,
            watch: bool = False,
            as_json: bool = False,
            **others: Any,
        ) -> Any:
            if watch and as_json:
                raise WrongUse("--watch and --json: watch it with a loop around --json")
            if as_json and (template or names):
                raise WrongUse("--json has all that there is: leave --format and --columns out")
            view = View(columns, wide, names, template, sort, EVERY if watch else 0.0, "--wide shows all")
            return command(view=view, as_json=as_json, **others)

        return functools.reduce(lambda inner, flag: flag(inner), reversed(flags), run)

    return decorate


def _complete(columns: Sequence[Column[T]]) -> Callable[..., list[CompletionItem]]:
    """Return what completes the names of columns, the last of several too."""

    def complete(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(before + comma + each.name) for each in columns if each.name.startswith(last)]

    return complete
