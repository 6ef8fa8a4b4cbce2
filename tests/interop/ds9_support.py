"""SAOImage DS9, as tests talk to it and look at its windows."""

import re
import subprocess
from typing import Any

from tests.support import Receiver, message, need


def ask(receiver: Receiver, ds9: str, mtype: str, **params: str) -> dict[str, Any]:
    """Call DS9 and wait; return the result of its response."""
    response: dict[str, Any] = receiver.hub.callAndWait(receiver.key, ds9, message(mtype, **params), "30")  # type: ignore
    assert response["samp.status"] == "samp.ok"
    return response["samp.result"]  # type: ignore[no-any-return]


def windows() -> list[str]:
    """Return the titles of the windows that are shown."""
    tree = subprocess.run(
        [need("xwininfo"), "-root", "-tree"], check=True, timeout=30, capture_output=True, text=True
    ).stdout
    named = re.findall(r'^ +(0x[0-9a-f]+) "([^"]+)"', tree, re.MULTILINE)
    return sorted(title for number, title in named if "IsViewable" in _statistics(number))


def _statistics(window: str) -> str:
    shown = subprocess.run([need("xwininfo"), "-id", window], timeout=30, capture_output=True, text=True)
    return shown.stdout
