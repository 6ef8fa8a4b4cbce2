"""The one exception tree of hubfarm.

Every exception that hubfarm raises on purpose descends from `HubfarmError`.
Two questions decide the branch: was the caller's input wrong (`WrongUse`, exit
code 2 on the command line), or did something fail that was asked for rightly
(exit code 1)?  Messages say what happened, to what, and what to do.
"""


class HubfarmError(Exception):
    """Something hubfarm was rightly asked to do has failed."""


class WrongUse(HubfarmError, ValueError):
    """What was given is wrong; the message names the value and what would be right."""


class BadValue(WrongUse):
    """A value is not a SAMP value, or not of the SAMP type asked for (SAMP 1.3, 3.3)."""


class BadLockFile(WrongUse):
    """A text is not a lock file, or lacks a required token (SAMP 1.3, 4.2)."""


class Fault(HubfarmError):
    """An XML-RPC fault: what a SAMP party answers instead of a result.

    Parameters
    ----------
    text : str
        What was wrong and what to do: the ``faultString``.
    code : int
        The ``faultCode``; SAMP gives the number no meaning.
    """

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.text = text
        self.code = code

    def __reduce__(self) -> tuple[type["Fault"], tuple[str, int]]:
        return Fault, (self.text, self.code)
