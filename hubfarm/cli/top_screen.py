"""``hubfarm top`` on a terminal, by Textual: a live table of hubs, and one of a hub's clients.

Rule: the table writer decides what fits (`hubfarm.cli.table`); here it scrolls, is sorted and filtered.  Only ``top``
loads this.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.events import Key
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from hubfarm.cli.hub_client import client_of
from hubfarm.cli.listing import View
from hubfarm.cli.show import style_of
from hubfarm.cli.table import GAP, T, column_of, fitted
from hubfarm.cli.talk import CLIENT_COLUMNS, Told
from hubfarm.cli.top import Meter, Row
from hubfarm.client.others import clients_on
from hubfarm.samp.errors import HubfarmError
from hubfarm.visible import visible

Look = Callable[[], tuple[Sequence[T], str]]
"""Returns the rows, and a line that the user should read too."""


SCROLLBAR = 1
"""Cells at the right that it takes."""


class LiveTable(Screen[None], Generic[T]):
    """A table that is looked at again and again.

    Parameters
    ----------
    title : callable
        Says what so many rows are.
    view : View
        Its columns, and by which it is sorted at first.
    keys : dict of str to str
        Which letter sorts by which column.
    key_of : callable
        What names a row, however often it is looked at.
    looking : callable
        A context in which one can look; it is entered and used in a thread of its own.
    interval : float
        Between two looks, seconds.
    """

    DEFAULT_CSS = """
    LiveTable { layout: vertical; }
    LiveTable Static { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    LiveTable #head { text-style: bold; }
    LiveTable #remark, LiveTable #help { color: $text-muted; }
    LiveTable OptionList, LiveTable OptionList:focus {
        height: 1fr; border: none; padding: 0; background: $background; scrollbar-size-vertical: 1;
    }
    LiveTable OptionList > .option-list--option { padding: 0; }
    """

    def __init__(
        self,
        title: Callable[[int], str],
        view: View[T],
        keys: dict[str, str],
        key_of: Callable[[T], str],
        looking: Callable[[], Any],
        interval: float,
    ) -> None:
        super().__init__()
        self._title = title
        self._columns = view.chosen()
        self._sort = view.sort
        self._all_of_them = bool(view.names)
        self._all_columns = view.columns
        self._keys = keys
        self._key_of = key_of
        self._looking = looking
        self._interval = interval
        self._rows: Sequence[T] = ()
        self._warning = "looking…"
        self._filter = ""
        self._is_asking = False
        self._gone = threading.Event()

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static(id="title", markup=False)
        yield Static(id="head", markup=False)
        yield OptionList(markup=False)
        yield Static(id="remark", markup=False)
        yield Static(id="help", markup=False)

    def on_mount(self) -> None:
        """Begin to look."""
        self.query_one(OptionList).focus()
        self._draw()
        threading.Thread(target=self._look_on, daemon=True).start()

    def on_unmount(self) -> None:
        """Look no more."""
        self._gone.set()

    def _look_on(self) -> None:
        try:
            with self._looking() as look:
                while not self._gone.is_set():
                    rows, warning = look()
                    self._tell(rows, warning)
                    self._gone.wait(self._interval)
        except (HubfarmError, OSError) as error:
            self._tell((), visible(str(error)))

    def _tell(self, rows: Sequence[T], warning: str) -> None:
        if not self._gone.is_set():
            self.app.call_from_thread(self._seen, rows, warning)

    def _seen(self, rows: Sequence[T], warning: str) -> None:
        self._rows, self._warning = rows, warning
        if not self._gone.is_set():
            self._draw()

    # ------------------------------------------------------------------ drawing

    def on_resize(self) -> None:
        """Fit what there is to the new size."""
        self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        view = View(self._all_columns, sort=self._sort)
        rows = [row for row in view.sorted(self._rows) if self._fits(row)]
        grid = fitted(self._columns, rows, max(self.size.width - SCROLLBAR, 1), all_of_them=self._all_of_them)
        head, *lines = grid.lines
        by = column_of(self._all_columns, self._sort.removeprefix("-")).head
        of_all = f" of {len(self._rows)}" if self._filter else ""
        which = f" that hold {self._filter!r}" if self._filter else ""
        order = f"by {by}{', reversed' if self._sort.startswith('-') else ''}"
        title = f"{len(rows)}{of_all} {self._title(len(self._rows))}{which}, {order}"
        self.query_one("#title", Static).update(title)
        self.query_one("#help", Static).update(self._help())
        self.query_one("#head", Static).update(GAP.join(head))
        self.query_one("#remark", Static).update(self._warning or grid.remark(self.size.width))
        self._put([(self._key_of(row), _text(line)) for row, line in zip(rows, lines, strict=True)])

    def _help(self) -> str:
        if self._is_asking:
            return f"filter: {self._filter}_   Enter keeps it, Esc clears it"
        letters = " ".join(f"{letter}){column}" for letter, column in self._keys.items())
        return f"q)uit Esc)back Enter)opens /)filters; sort: {letters}"

    def _fits(self, row: T) -> bool:
        wanted = self._filter.casefold()
        return not wanted or any(wanted in column.cell(row).casefold() for column in self._all_columns)

    def _put(self, lines: list[tuple[str, Text]]) -> None:
        """Show these lines, under the same highlight and at the same place as before."""
        table = self.query_one(OptionList)
        if [option.id for option in table.options] == [key for key, _ in lines]:
            for key, line in lines:
                table.replace_option_prompt(key, line)
            return
        highlit = table.highlighted_option
        scroll = table.scroll_y
        table.clear_options()
        table.add_options(Option(line, id=key) for key, line in lines)
        keys = [key for key, _ in lines]
        table.highlighted = keys.index(highlit.id) if highlit and highlit.id in keys else (0 if keys else None)
        table.scroll_to(y=scroll, animate=False)

    # ------------------------------------------------------------------ keys

    def on_key(self, event: Key) -> None:
        """Do what a key says; the list itself takes those that move in it, and Enter."""
        typed = event.character if event.is_printable else ""
        if self._is_asking:
            done = self._type(event.key, typed or "")
        elif typed in self._keys:
            done = self._sort_by(self._keys[typed])
        else:
            does = _KEYS.get(event.key)
            done = does is not None and does(self)
        if done:
            event.stop()
            self._draw()

    def _type(self, key: str, typed: str) -> bool:
        if key in ("enter", "escape"):
            self._is_asking = False
        if key == "escape":
            self._filter = ""
        elif key == "backspace":
            self._filter = self._filter[:-1]
        self._filter += typed
        return bool(typed) or key in ("enter", "escape", "backspace")

    def _sort_by(self, column: str) -> bool:
        self._sort = f"-{column}" if self._sort == column else column
        self.query_one(OptionList).clear_options()  # the first is what one wants to see
        return True

    def ask_for_filter(self) -> bool:
        """Take what is typed from now on for what to filter by."""
        self._is_asking = True
        return True

    def go_back(self) -> bool:
        """Clear the filter; without one go back to where one came from."""
        if self._filter:
            self._filter = ""
        elif len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        return True

    def leave(self) -> bool:
        """End the program."""
        self.app.exit()
        return True

    def interrupt(self) -> bool:
        """End the program as Ctrl-C ends any."""
        self.app.exit(return_code=130)
        return True

    def move(self, by: int) -> bool:
        """Go up or down a line, as in vi."""
        lines = self.query_one(OptionList)
        (lines.action_cursor_down if by > 0 else lines.action_cursor_up)()
        return True

    @on(OptionList.OptionSelected)
    def _opened(self, event: OptionList.OptionSelected) -> None:
        for row in self._rows:
            if self._key_of(row) == event.option_id:
                self.open(row)
                return

    def open(self, row: T) -> None:
        """Show more of a row; there is none by default."""


_KEYS: dict[str, Callable[[LiveTable[Any]], bool]] = {
    "slash": LiveTable.ask_for_filter,
    "escape": LiveTable.go_back,
    "q": LiveTable.leave,
    "ctrl+c": LiveTable.interrupt,
    "j": lambda screen: screen.move(1),
    "k": lambda screen: screen.move(-1),
}
"""What keys do, whatever the table; each tells whether it did something."""

HUB_KEYS = {
    "i": "id",
    "l": "label",
    "s": "state",
    "c": "clients",
    "m": "rate",
    "w": "queue",
    "r": "memory",
    "p": "cpu",
}
CLIENT_KEYS = {"c": "client", "r": "registered", "m": "messages"}


class HubTable(LiveTable[Row]):
    """The hubs; Enter opens the clients of one."""

    def open(self, row: Row) -> None:
        """Show the hub's clients."""

        @contextmanager
        def looking() -> Iterator[Look[Told]]:
            with client_of(row.hub.lock_file, "top") as client:
                yield lambda: (clients_on(client), "")

        view = View(CLIENT_COLUMNS, sort="client")

        def title(count: int) -> str:
            return f"client{'' if count == 1 else 's'} of {visible(row.hub.name)}"

        self.app.push_screen(
            LiveTable(title, view, CLIENT_KEYS, lambda one: str(one["id"]), looking, max(self._interval, 2.0))
        )


class Top(App[None]):
    """The program.

    Parameters
    ----------
    meter : Meter
        Looks at the hubs.
    view : View
        Their columns, and by which they are sorted at first.
    interval : float
        Between two looks, seconds.
    """

    ENABLE_COMMAND_PALETTE = False

    def __init__(self, meter: Meter, view: View[Row], interval: float) -> None:
        super().__init__()
        self._meter = meter
        self._view = view
        self._interval = interval

    def on_mount(self) -> None:
        """Show the hubs."""

        @contextmanager
        def looking() -> Iterator[Look[Row]]:
            def look() -> tuple[Sequence[Row], str]:
                rows = self._meter.rows()
                return rows, self._meter.warning(rows)

            yield look

        self.push_screen(
            HubTable(
                lambda count: "hub" if count == 1 else "hubs",
                self._view,
                HUB_KEYS,
                lambda row: str(row.hub.lock_file),
                looking,
                self._interval,
            )
        )


def _text(cells: Sequence[str]) -> Text:
    text = Text(no_wrap=True, end="")
    for number, cell in enumerate(cells):
        text.append((GAP if number else "") + cell, style=style_of(cell).get("fg", ""))
    return text
