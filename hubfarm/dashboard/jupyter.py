"""What jupyter-server-proxy is told, so that JupyterLab's launcher has the dashboard."""

import sys
from importlib.resources import files
from typing import Any


def server() -> dict[str, Any]:
    """Return how it is started and shown; jupyter-server-proxy asks by the entry point ``jupyter_serverproxy_servers``.

    It comes by a Unix socket in a directory of its own, which other accounts cannot reach, and has asked already who is
    there.
    """
    return {
        "command": [sys.executable, "-m", "hubfarm", "dashboard", "--socket", "{unix_socket}", "--no-token"],
        "unix_socket": True,
        "timeout": 30,
        "new_browser_tab": True,
        "launcher_entry": {
            "title": "SAMP hubs",
            "icon_path": str(files("hubfarm.dashboard") / "page" / "icon.svg"),
        },
    }
