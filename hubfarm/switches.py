"""A switch for each thing that we do otherwise than astropy and pyvo on purpose, and that an old program may miss.

All are off: what we do is what new programs should want.  ``HUBFARM_SWITCHES`` turns some on for programs that
nobody can edit.  They are looked at when they matter, so a program may turn them at any time.  Who heeds a
switch asks here; nothing here knows who that is.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields

from hubfarm.samp.errors import WrongUse

VARIABLE = "HUBFARM_SWITCHES"
"""Names of switches, with commas or spaces between them; ``all`` for all."""

_NO_SWITCHES = ("use_internet", "n_retries")


@dataclass(slots=True)
class Conf:
    """What astropy's ``conf`` holds, and the switches.

    Parameters
    ----------
    use_internet, n_retries
        astropy's own, for programs that set them.  Here they change nothing: we ask nothing of the internet, and
        how often a delivery is tried is the hub's business.
    numbers : bool
        Numbers and truth in messages arrive as what they were, between clients that both have this on; the
        messages themselves stay SAMP's strings (SAMP 1.3, 3.4).
    second_hub : bool
        Where a living hub holds the lock file, `SAMPHubServer.start` warns, and runs one among those of ``~/.samp-1``.
    samp_hub_first : bool
        A `SAMPHubServer` in multiple mode takes the lock file that ``SAMP_HUB`` names, if it is set.
    connect_again : bool
        ``connect`` on a `SAMPIntegratedClient` that is connected leaves that hub first.
    silent_replier : bool
        A function in a `SAMPMsgReplierWrapper` that returns nothing will reply itself, some time.
    warn_unheard : bool
        ``notify_all`` that nobody is subscribed to warns.
    env_get : bool
        Clients answer ``client.env.get`` with the value of an environment variable; any client of the hub may ask, and
        some variables are secrets.

    Examples
    --------
    >>> conf = Conf()
    >>> with conf.set_temp("numbers", True):
    ...     conf.numbers
    True
    >>> conf.numbers
    False
    """

    use_internet: bool = True
    n_retries: int = 10
    numbers: bool = False
    second_hub: bool = False
    samp_hub_first: bool = False
    connect_again: bool = False
    silent_replier: bool = False
    warn_unheard: bool = False
    env_get: bool = False

    def turn_on(self, names: Iterable[str]) -> None:
        """Turn switches on.

        Parameters
        ----------
        names : iterable of str
            Which; ``all`` for all of them.

        Raises
        ------
        WrongUse
            There is no switch of that name.
        """
        for name in names:
            if name not in (*SWITCHES, "all"):
                raise WrongUse(f"there is no switch {name!r}: there are {', '.join(SWITCHES)}, and all")
            for each in SWITCHES if name == "all" else (name,):
                setattr(self, each, True)

    @contextmanager
    def set_temp(self, name: str, value: object) -> Iterator[None]:
        """Set one for as long as a block runs; the method is astropy's."""
        before = getattr(self, name)
        setattr(self, name, value)
        try:
            yield
        finally:
            setattr(self, name, before)


SWITCHES = tuple(each.name for each in fields(Conf) if each.name not in _NO_SWITCHES)

conf = Conf()
conf.turn_on(os.environ.get(VARIABLE, "").replace(",", " ").split())
