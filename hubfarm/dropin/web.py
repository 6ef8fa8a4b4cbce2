"""What programs import for the Web Profile (SAMP 1.3, 5): the base of their dialogues, and names."""

import contextlib
import queue
from typing import Any

from hubfarm.hub.profiles.front_door import ICON
from hubfarm.spec.web_pages import SAFE_MTYPES as _SAFE_MTYPES

SAFE_MTYPES = [mtype for mtype in _SAFE_MTYPES if mtype != "coverage.*"]
"""What web pages may send without harm, as astropy has it; our hubs, and JSAMP's, let ``coverage.*`` pass too."""

SAMP_ICON = ICON
"""A hub's icon: a PNG image's bytes."""


class WebProfileDialog:
    """A window that asks the user whether a web page may join the hub; the base of a program's own.

    A subclass has a method ``show_dialog(samp_name, details, client, origin)``, which opens the window, and in the
    end calls `consent` or `reject`; its program calls `handle_queue` now and then.

    Examples
    --------
    >>> class Dialog(WebProfileDialog):
    ...     def show_dialog(self, samp_name, details, client, origin):
    ...         print(f"{samp_name} of {origin} asks")
    ...         self.reject()
    >>> dialog = Dialog()
    >>> dialog.handle_queue()
    """

    queue_request: "queue.Queue[tuple[Any, ...]] | None" = None
    """Where a hub puts what asks to join; None without one."""
    queue_result: "queue.Queue[bool] | None" = None
    """Where a hub takes the answers."""

    def show_dialog(self, samp_name: str, details: Any, client: Any, origin: str) -> None:
        """Ask the user; a subclass says how."""
        raise NotImplementedError

    def handle_queue(self) -> None:
        """Show the dialog for what asks to join, if anything does."""
        if self.queue_request is not None:
            with contextlib.suppress(queue.Empty):
                identity, client, origin = self.queue_request.get_nowait()
                name = identity if isinstance(identity, str) else identity["samp.name"]
                self.show_dialog(name, identity, client, origin)

    def consent(self) -> None:
        """Let what asked join."""
        self._answer(True)

    def reject(self) -> None:
        """Turn what asked away."""
        self._answer(False)

    def _answer(self, consented: bool) -> None:
        if self.queue_result is not None:
            self.queue_result.put(consented)
