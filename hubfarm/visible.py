"""Text of others, made fit to be shown: whatever does not print is written out as Python would escape it.

Names, labels, paths, URLs, messages and logs come from other people.  Printed as they are, control
characters command the terminal (colours, the cursor, what it answers), bidirectional ones turn a line around,
and invisible ones make two names look alike.  Whatever a person is shown goes through here; it may know nothing.
"""

from datetime import timedelta


def visible(text: str, *, lines: bool = False) -> str:
    r"""Return `text` with every character written out that is not printable.

    Parameters
    ----------
    text : str
        Anything, also bytes of a path that could not be decoded (lone surrogates).
    lines : bool
        Leave line feeds as they are: it is a text of several lines.

    Examples
    --------
    >>> print(visible("red \x1b[31m, turned \u202e, a C1 control \x9b, größe"))
    red \x1b[31m, turned \u202e, a C1 control \x9b, größe
    >>> print(visible("one\ntwo\tthree"), visible("one\ntwo", lines=True), sep="|")
    one\ntwo\tthree|one
    two
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or (lines and each == "\n") else _escaped(each) for each in text)


def brief(text: str, longest: int) -> str:
    r"""Return `text` on one line, visible, and no longer than `longest` characters; only so much of it is looked at.

    Examples
    --------
    >>> brief("a name\n\x1b[31m", 20), brief("x" * 1000, 5)
    ('a name\\n\\x1b[31m', 'xxxx…')
    """
    shown = visible(text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def span(seconds: float | None) -> str:
    """Write a time span for people.

    Examples
    --------
    >>> span(3725.4), span(None), span(float("nan"))
    ('1:02:05', '-', '-')
    """
    if seconds is None or not abs(seconds) < _LONGEST:
        return "-"
    return str(timedelta(seconds=int(seconds)))


_LONGEST = 1e12
"""Seconds that are no time span any more: somebody has written rubbish into a file."""
