"""A request for hubs: one, or several of a kind, as the command line, `Farm` and farm files make it."""

from collections.abc import Collection, Iterable, Sequence

import msgspec

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.checks import MAX_HUBS
from hubfarm.spec.hub_spec import HubSpec
from hubfarm.spec.options import HubOptions


class HubRequest(HubOptions, frozen=True, kw_only=True):
    """Hubs that are wanted.

    Parameters
    ----------
    count : int
        How many of the kind.
    origin : str
        As in `HubSpec`.
    **options
        As `HubOptions` has them; the label is numbered if they are several, and ports follow the first one's.

    Raises
    ------
    WrongUse
        A value cannot be.
    """

    count: int = 1
    origin: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.count <= MAX_HUBS:
            raise WrongUse(f"count is {self.count}: a farm holds 1 to {MAX_HUBS} hubs")
        if self.port and self.port + self.count - 1 > 65535:
            raise WrongUse(f"port is {self.port}: the ports of {self.count} hubs would end over 65535")

    @classmethod
    def of(cls, spec: HubSpec) -> "HubRequest":
        """Return the request for one hub like `spec`."""
        options = {name: getattr(spec, name) for name in HubOptions.__struct_fields__}
        return cls(origin=spec.origin, **options)

    def specs(self, used: Collection[str]) -> list[HubSpec]:
        """Return each hub with its label and its port; id and secret are open.

        Parameters
        ----------
        used : collection of str
            Labels that are taken.

        Examples
        --------
        >>> [spec.label for spec in HubRequest(count=2, group="mima").specs(used={"mima-1"})]
        ['mima-2', 'mima-3']
        >>> [(spec.label, spec.port) for spec in HubRequest(count=2, label="x", port=21100).specs(used=())]
        [('x-1', 21100), ('x-2', 21101)]
        """
        return [
            HubSpec.of(self, id=0, label=label, port=self.port and self.port + number, origin=self.origin)
            for number, label in enumerate(self._labels(used))
        ]

    def _labels(self, used: Collection[str]) -> Iterable[str]:
        """Return the labels: as asked for, numbered for several; or the first free of ``<group|owner|hub>-<n>``."""
        if self.label:
            return [self.label] if self.count == 1 else [f"{self.label}-{n}" for n in range(1, self.count + 1)]
        stem = self.group or self.owner or "hub"
        labels: list[str] = []
        number = 0
        while len(labels) < self.count:
            number += 1
            if f"{stem}-{number}" not in used:
                labels.append(f"{stem}-{number}")
        return labels


def specs_for(requests: Sequence[HubRequest], used: Collection[str]) -> list[HubSpec]:
    """Return the hubs of several requests; see `HubRequest.specs`."""
    return [spec for request in requests for spec in request.specs(used)]


def encode_requests(requests: Sequence[HubRequest]) -> bytes:
    """Return requests as JSON, for `decode_requests`."""
    return msgspec.json.encode(requests)


def decode_requests(text: bytes | str) -> list[HubRequest]:
    """Return the requests that JSON holds.

    Raises
    ------
    WrongUse
        It holds something else, what no hub can be, or more than a farm holds.
    """
    try:
        requests = msgspec.json.decode(text, type=list[HubRequest])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WrongUse(f"not a request: {error}") from None
    check_together(requests)
    return requests


def check_together(requests: Sequence[HubRequest]) -> None:
    """Refuse requests for more hubs than a farm holds, before anybody makes them.

    Raises
    ------
    WrongUse
        They are.
    """
    count = sum(request.count for request in requests)
    if count > MAX_HUBS:
        raise WrongUse(f"{count} hubs are asked for: a farm holds {MAX_HUBS} at most")
