"""What is sent: the same bytes to every hub but for keys and ids, encoded as astropy's clients do."""

from typing import Any
from xmlrpc.client import dumps

Message = dict[str, Any]

MTYPE = "bench.message"

SMALL: Message = {
    "samp.mtype": MTYPE,
    "samp.params": {"table-id": "votable-1", "url": "file:///home/observer/field/sources.vot", "row": "1729"},
}
"""As when a row of a table is highlighted: about 500 bytes encoded."""

MEDIUM: Message = {
    "samp.mtype": MTYPE,
    "samp.params": {
        "name": "field",
        "sources": [
            {"id": f"src-{number}", "position": {"ra": f"{number}.5", "dec": f"-{number}.25"}, "flags": ["0", "1"]}
            for number in range(22)
        ],
    },
}
"""Lists and maps in each other: about 10 kB encoded."""

LARGE: Message = {
    "samp.mtype": MTYPE,
    "samp.params": {"table-id": "votable-1", "row-list": [f"{number:07d}" for number in range(26_000)]},
}
"""A selection of rows, as TOPCAT sends it: about 1 MB encoded."""

SIZES = {"small": SMALL, "medium": MEDIUM, "large": LARGE}


def encode(method: str, *params: Any) -> bytes:
    """Encode a call as Python's and so astropy's and pyvo's clients do."""
    return dumps(params, f"samp.hub.{method}").encode()
