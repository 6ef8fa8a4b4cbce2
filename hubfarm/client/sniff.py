"""What a file holds, by its beginning: a table, an image or a spectrum."""

import re

SNIFFED = 64 * 2**10
"""How much of a file is looked at, bytes."""

_BLOCK = 2880  # bytes of a block of FITS headers, which has cards of 80


def kind_of(start: bytes) -> str:
    """Return ``table``, ``image`` or ``spectrum``.

    Spectra are what says so: by the VO's utypes (``spec:``, ``ssa:``), or ``VOCLASS`` in FITS.
    An image is FITS with data in its primary HDU, or whose first extension is one; all else is
    taken for a table.

    Parameters
    ----------
    start : bytes
        The file's first `SNIFFED` bytes.

    Examples
    --------
    >>> kind_of(b'<VOTABLE><FIELD utype="spec:Spectrum.Data.FluxAxis.Value"/>')
    'spectrum'
    """
    if not start.startswith(b"SIMPLE  ="):
        return "spectrum" if re.search(rb"utype=[\"'](spec|ssa):", start) else "table"
    if re.search(rb"VOCLASS = '[^']*spectrum", start, re.IGNORECASE):
        return "spectrum"
    axes = re.search(rb"NAXIS   =\s*(\d+)", start)
    if axes and int(axes[1]):
        return "image"
    extension = re.search(rb"XTENSION= '(\w+)", start[_BLOCK:])
    return "image" if extension and extension[1] == b"IMAGE" else "table"
