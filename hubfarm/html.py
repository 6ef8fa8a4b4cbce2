"""Facts as HTML, for notebooks: the one place where markup is written.

Names, labels, URLs and messages come from other people, and a notebook runs whatever script its output holds.  So a
cell is text, made visible, cut and escaped; only what is made here is markup (`Html`), and a picture is bytes that are
one, never an address that a browser would be sent to.  It may know nothing but how text is shown.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import islice

from hubfarm.visible import brief

LONGEST = 200
"""Characters of one cell at most."""

MOST = 100
"""Rows of one table at most."""

_PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"GIF8": "gif", b"\xff\xd8\xff": "jpeg"}
"""How the pictures start that a hub's clients may have as icons (SAMP 1.3, 3.6); one that can hold scripts is none."""


class Html(str):
    """Markup that was made here."""

    __slots__ = ()


def text(value: object) -> Html:
    r"""Return what a cell shows of a value.

    Examples
    --------
    >>> text("<script>alert(1)</script>\x1b[31m")
    '&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[31m'
    """
    if isinstance(value, Html):
        return value
    return Html("" if value is None else escape(brief(str(value), LONGEST)))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: object = "") -> Html:
    """Return a table with a row of headings.

    Parameters
    ----------
    columns : sequence of str
        The headings.
    rows : iterable of sequence
        Each row's cells; `MOST` are shown, and one line says that there are more.
    caption : object
        What stands above it.

    Examples
    --------
    >>> table(["NAME"], [["<b>"]])
    '<table><tr><th>NAME</th></tr><tr><td>&lt;b&gt;</td></tr></table>'
    """
    left = iter(rows)
    shown = [_row("td", row) for row in islice(left, MOST)]
    more = sum(1 for _ in left)
    if more:
        shown.append(_row("td", [f"… {more} more"]))
    return _table(caption, [_row("th", columns), *shown])


def facts(caption: object, told: Mapping[str, object]) -> Html:
    """Return what is told of one thing, a fact a row; what is empty is left out.

    Examples
    --------
    >>> facts("me", {"id": "c1", "hub": ""})
    '<table><caption>me</caption><tr><th>id</th><td>c1</td></tr></table>'
    """
    known = [(name, value) for name, value in told.items() if value not in (None, "")]
    rows = [f"<tr><th>{text(name)}</th><td>{text(value)}</td></tr>" for name, value in known[:MOST]]
    if len(known) > MOST:
        rows.append(_row("td", [f"… {len(known) - MOST} more"]))
    return _table(caption, rows)


def _row(kind: str, cells: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<{kind}>{text(cell)}</{kind}>' for cell in cells)}</tr>"


def _table(caption: object, rows: Iterable[str]) -> Html:
    above = text(caption)
    return Html(f"<table>{f'<caption>{above}</caption>' if above else ''}{''.join(rows)}</table>")


def state(word: object, good: bool) -> Html:
    """Return a state's word, with a dot whose colour says whether that is well.

    Examples
    --------
    >>> state("running", True)
    '<span style="color:#2a8a3e">●</span> running'
    """
    return Html(f'<span style="color:{"#2a8a3e" if good else "#c0392b"}">●</span> {text(word)}')


def joined(*parts: object, by: str = " ") -> Html:
    """Return several pieces side by side; what is empty is left out."""
    return Html(by.join(part for part in map(text, parts) if part))


def picture(content: bytes) -> Html:
    """Return a small picture that lies in the page itself; nothing if these bytes are none.

    Examples
    --------
    >>> picture(b"GIF89a")
    '<img alt="" width="24" height="24" src="data:image/gif;base64,R0lGODlh">'
    >>> picture(b"<svg onload='alert(1)'/>")
    ''
    """
    kind = next((kind for start, kind in _PICTURES.items() if content.startswith(start)), "")
    source = f"data:image/{kind};base64,{b64encode(content).decode()}"
    return Html(f'<img alt="" width="24" height="24" src="{source}">' if kind else "")


def meter(done: int, total: int) -> Html:
    """Return a bar that shows how much of something is done; of an unknown total, one that only moves.

    Examples
    --------
    >>> meter(1, 3), meter(0, 0)
    ('<progress value="1" max="3"></progress>', '<progress></progress>')
    """
    return Html(f'<progress value="{done}" max="{total}"></progress>' if total else "<progress></progress>")
