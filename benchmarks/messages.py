"""What is sent: the same bytes to every hub but for keys and ids, encoded as astropy's clients do.

`DRESSED` are the same small message as other clients may write it: all legal, and none of it what JSAMP's hub takes.
It is sent `SMALL` in their place.
"""

import re
from collections.abc import Callable
from typing import Any
from xmlrpc.client import dumps

Message = dict[str, Any]

MTYPE = "bench.message"


def _message(**params: Any) -> Message:
    return {"samp.mtype": MTYPE, "samp.params": params}


SMALL = _message(**{"table-id": "votable-1", "url": "file:///home/observer/field/sources.vot", "row": "1729"})
"""As when a row of a table is highlighted: about 500 bytes encoded."""

LARGE = _message(**{"table-id": "votable-1", "row-list": [f"{number:07d}" for number in range(26_000)]})
"""A selection of rows, as TOPCAT sends it: about 1 MB encoded."""


def _sources(count: int) -> list[Message]:
    return [
        {"id": f"src-{number}", "position": {"ra": f"{number}.5", "dec": f"-{number}.25"}, "flags": ["0", "1"]}
        for number in range(count)
    ]


def _nested(depth: int, size: int) -> Message:
    """Rows of a table, `depth` lists and maps in each other, about `size` bytes encoded."""

    def row(number: int, levels: int) -> Any:
        if levels == 0:
            return f"{number}.25"
        return {"row": row(number, levels - 1)} if levels % 2 else [row(number, levels - 1)]

    one = len(dumps((row(10, depth - 1),)))
    return _message(rows=[row(number, depth - 1) for number in range(max(1, size // one))])


MESSAGES: dict[str, Message] = {
    "small": SMALL,
    "medium": _message(name="field", sources=_sources(22)),
    "large": LARGE,
    "Unicode": _message(**{"table-id": "votable-1", "url": "file:///home/observer/α Cen/é→.vot", "row": "1729"}),
    "typed": _message(**{"table-id": "votable-1", "url": "file:///home/observer/sources.vot", "row": 1729, "at": 0.5}),
    "1 MB, one string": _message(text="x" * 1_000_000),
    "4 MB, 10,000 maps": _message(rows=[dict.fromkeys("abcde", f"{number}") for number in range(10_000)]),
    **{
        f"{size // 1000} kB, depth {depth}": _nested(depth, size)
        for size in (10_000, 23_000)
        for depth in (3, 6, 10, 30)
    },
}
"""By name."""


def _references(body: bytes) -> bytes:
    """Write some letters as character references, and some as entities."""
    return body.replace(b"observer", b"&#111;bserver&amp;&#x3b1;").replace(b"1729", b"&#49;7&quot;29")


def _markup(body: bytes) -> bytes:
    """Write comments, CDATA, attributes on tags, and white space of all kinds."""
    body = re.sub(rb"<string>(file:[^<]*)</string>", rb'<string kind="url"><![CDATA[\1]]></string>', body)
    body = body.replace(b"<struct>", b"<struct >\r\n\t<!-- the parameters -->").replace(b"</value>", b"</value >\n\n")
    return body.replace(b"<member>", b"\t <member class='m'>")


DRESSES: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "references": ("small", _references),
    "markup": ("small", _markup),
}
"""By name: which message is written in which other way."""

REFUSED_BY_JSAMP = ("Unicode", "typed", *DRESSES)
"""What JSAMP's hub does not take: it is sent `SMALL`."""


def encode(method: str, *params: Any) -> bytes:
    """Encode a call as Python's and so astropy's and pyvo's clients do."""
    return dumps(params, f"samp.hub.{method}").encode()


def encode_message(name: str, method: str, *params: Any, after: tuple[Any, ...] = ()) -> bytes:
    """Encode a call that carries a message, by the message's name in `MESSAGES` or `DRESSES`.

    Parameters
    ----------
    name : str
        The message.
    method : str
        The method.
    *params, after
        Its parameters before the message, and those after it.
    """
    message, dress = DRESSES.get(name, (name, lambda body: body))
    return dress(encode(method, *params, MESSAGES[message], *after))
