"""The short forms of sending, for synchronous and asyncio clients alike: messages by keywords."""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from hubfarm.client.handlers import easy_message

Answer = TypeVar("Answer")
"""What a client's methods return: what the hub answers, or a coroutine that does."""


class EasySending(Generic[Answer]):
    """``enotify`` for ``notify``, and so on: each makes the message and hands it to its namesake."""

    notify: Callable[[str, Mapping[str, object]], Answer]
    notify_all: Callable[[Mapping[str, object]], Answer]
    call: Callable[[str, str, Mapping[str, object]], Answer]
    call_all: Callable[[str, Mapping[str, object]], Answer]
    call_and_wait: Callable[[str, Mapping[str, object], float | str], Answer]
    reply: Callable[[str, Mapping[str, object]], Answer]

    def enotify(self, recipient_id: str, mtype: str, **params: object) -> Answer:
        """Send a notification to one client.

        Parameters
        ----------
        recipient_id : str
            Its public id.
        mtype : str
            What the message means.
        **params : object
            Its parameters; `extra_kws` is a dict that goes beside them.
        """
        return self.notify(recipient_id, easy_message(mtype, params))

    def enotify_all(self, mtype: str, **params: object) -> Answer:
        """Send a notification to all who are subscribed; see `enotify`."""
        return self.notify_all(easy_message(mtype, params))

    def ecall(self, recipient_id: str, msg_tag: str, mtype: str, **params: object) -> Answer:
        """Call one client; see `enotify`."""
        return self.call(recipient_id, msg_tag, easy_message(mtype, params))

    def ecall_all(self, msg_tag: str, mtype: str, **params: object) -> Answer:
        """Call all who are subscribed; see `enotify`."""
        return self.call_all(msg_tag, easy_message(mtype, params))

    def ecall_and_wait(self, recipient_id: str, mtype: str, timeout: float | str, **params: object) -> Answer:
        """Call one client and wait at most `timeout` seconds for its response; see `enotify`."""
        return self.call_and_wait(recipient_id, easy_message(mtype, params), timeout)

    def ereply(
        self,
        msg_id: str,
        status: str,
        result: Mapping[str, object] | None = None,
        error: Mapping[str, object] | None = None,
    ) -> Answer:
        """Answer a call.

        Parameters
        ----------
        msg_id : str
            Which.
        status : str
            ``samp.ok``, ``samp.warning`` or ``samp.error``.
        result, error : dict, optional
            What there is to say.
        """
        given = {"samp.status": status, "samp.result": result, "samp.error": error}
        return self.reply(msg_id, {key: value for key, value in given.items() if value is not None})
