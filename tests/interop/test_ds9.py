"""SAOImage DS9 itself, under Xvfb: on the hub it was given, answering, and showing an image sent to it.

HUBFARM_PICTURE=docs/ds9-on-a-hub.png pytest tests/interop/test_ds9.py takes the picture for the documentation.
"""

import math
import os
import re
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from tests.interop.conftest import OnHub, names_on
from tests.interop.ds9_support import ask, windows
from tests.support import Receiver, need, need_module, read_lock_file, wait_for

pytestmark = pytest.mark.interop

PICTURE = "HUBFARM_PICTURE"
"""Names the file that gets the picture; without it, it goes into the test's home."""

SIZE = 256
"""Pixels on a side of the image that is sent."""


def ring() -> bytes:
    """Return a FITS file of a bright ring."""
    cards = ("SIMPLE  = T", "BITPIX  = -32", "NAXIS   = 2", f"NAXIS1  = {SIZE}", f"NAXIS2  = {SIZE}", "END")
    header = "".join(f"{card:80}" for card in cards).encode()
    middle = (SIZE - 1) / 2
    pixels = [
        math.exp(-(((math.hypot(x - middle, y - middle) - 70) / 12) ** 2)) for y in range(SIZE) for x in range(SIZE)
    ]
    data = struct.pack(f">{len(pixels)}f", *pixels)
    return header.ljust(2880) + data + bytes(-len(data) % 2880)


@pytest.fixture
def said(home: Path) -> Path:
    """What DS9 prints."""
    return home / "ds9.out"


@pytest.fixture
def ds9(display: str, hubs: list[HubInfo], on_hub: OnHub, receiver: Receiver, said: Path) -> str:
    """Return the public id of DS9 on mima-2, which the receiver is on as well."""
    need("ds9")
    tokens = read_lock_file(hubs[1].lock_file)
    receiver.join(tokens["samp.hub.xmlrpc.url"], tokens["samp.secret"])
    with said.open("w") as output:
        on_hub("mima-2", "ds9", stdout=output)
    found: dict[str, Any] = wait_for(
        lambda: receiver.hub.getSubscribedClients(receiver.key, "ds9.get"), "DS9 is on its hub, and subscribed"
    )
    (client,) = found
    return client


def picture(path: Path) -> bytes:
    """Take a picture of the display, as PNG into `path`; return its pixels as grey values."""
    subprocess.run([need("import"), "-window", "root", str(path)], check=True, timeout=30)
    grey = subprocess.run(
        [need("convert"), str(path), "-colorspace", "Gray", "-depth", "8", "gray:-"],
        check=True,
        timeout=30,
        capture_output=True,
    )
    return grey.stdout


def shows_the_ring(grey: bytes, width: int = 746) -> bool:
    """Tell whether a row of the picture runs through the ring's middle: dark, bright, dark, bright, dark."""
    dark, bright = rb"[\x00-\x1f]{20,}", rb"[\xe0-\xff]{5,40}"
    grade = rb"[\x20-\xdf]{3,30}"
    through = re.compile(grade.join((dark, bright, dark, bright, dark)))
    return any(through.search(grey[start : start + width]) for start in range(0, len(grey), width))


def test_ds9_is_on_the_hub_it_was_given(ds9: str, receiver: Receiver, hubs: list[HubInfo]) -> None:
    assert receiver.hub.getMetadata(receiver.key, ds9)["samp.name"] == "SAOImageDS9"  # type: ignore[call-overload]
    assert [names_on(hub).count("SAOImageDS9") for hub in hubs] == [0, 1, 0, 0]


IDLE = 60.0
"""DS9 is left alone for so long, seconds: a probe of ours has made it open an error dialogue after 15."""


@pytest.mark.timeout(180)
def test_ds9_that_is_left_alone_says_nothing_and_opens_no_dialogue(
    ds9: str, receiver: Receiver, farm: Farm, said: Path, home: Path
) -> None:
    ask(receiver, ds9, "ds9.get", cmd="version")
    before = wait_for(windows, "DS9's window is there")
    time.sleep(IDLE)
    subprocess.run([need("import"), "-window", "root", str(home / "idle.png")], check=True, timeout=30)
    assert windows() == before
    assert said.read_text() == ""
    assert "8." in ask(receiver, ds9, "ds9.get", cmd="version")["value"]


def test_ds9_does_not_notice_that_its_hub_is_restarted(ds9: str, receiver: Receiver, farm: Farm, said: Path) -> None:
    ask(receiver, ds9, "ds9.get", cmd="version")
    before = windows()
    for _ in range(3):
        farm.restart(["mima-2"])
        assert "8." in ask(receiver, ds9, "ds9.get", cmd="version")["value"]
    assert windows() == before
    assert said.read_text() == ""


def test_ds9_answers_a_call_and_shows_an_image_that_it_is_sent(ds9: str, receiver: Receiver, home: Path) -> None:
    assert "8." in ask(receiver, ds9, "ds9.get", cmd="version")["value"]

    image = home / "ring.fits"
    image.write_bytes(ring())
    ask(receiver, ds9, "image.load.fits", url=image.as_uri(), name="ring")
    assert ask(receiver, ds9, "ds9.get", cmd="file")["value"] == str(image)
    assert ask(receiver, ds9, "ds9.get", cmd="fits size")["value"] == f"{SIZE} {SIZE}"

    taken = home / "ds9.png"
    wait_for(lambda: shows_the_ring(picture(taken)), "the ring is to be seen in DS9's window")
    if os.environ.get(PICTURE):
        shutil.copy(taken, os.environ[PICTURE])


@pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")
def test_a_program_written_for_astropy_controls_it_unedited_by_our_classes(ds9: str, on_hub: OnHub) -> None:
    need_module("ds9samp")
    script = str(Path(sys.executable).parent / "ds9samp_get")
    with_ours = on_hub("mima-2", sys.executable, "-X", "importtime", "-m", "hubfarm.as_astropy_samp", script, "version")
    output, _ = with_ours.communicate(timeout=60)
    assert re.search(r"^ds9 \d+\.\d+", output, re.MULTILINE), output
    assert "hubfarm.client.client" in output
    assert "astropy.samp.client" not in output
