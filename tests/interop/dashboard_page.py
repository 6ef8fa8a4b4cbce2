"""The dashboard's page in Chromium, as tests of it have it: what its browser complains of, and what it asks for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfarm.farm import Farm
from tests.dashboard.dashboard_support import Shown, started_dashboard
from tests.interop.browser_support import chromium
from tests.support import Receiver

TABLE = (
    '<VOTABLE version="1.3" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
    '<FIELD name="x" datatype="int"/><DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA>'
    "</TABLE></RESOURCE></VOTABLE>"
)


@pytest.fixture
def shown(farm: Farm) -> Iterator[Shown]:
    with started_dashboard() as one:
        yield one


@pytest.fixture
def browser(home: Path) -> Iterator[Any]:
    with chromium(home / "profile") as context:
        yield context


class Told:
    """A page, and what its browser complains of."""

    def __init__(self, browser: Any, address: str, width: int = 1280) -> None:
        self.page = browser.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: message.type == "error" and self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.asked: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.set_viewport_size({"width": width, "height": 800})
        self.page.goto(address)

    def go(self, where: str) -> Any:
        """Go to a view."""
        self.page.goto(f"{self.page.url.partition('#')[0]}#{where}")
        return self.page


@pytest.fixture
def told(shown: Shown, browser: Any) -> Iterator[Told]:
    one = Told(browser, shown.address)
    one.page.get_by_role("button", name="Start hubs").wait_for()
    one.page.locator(".live:not(.lost)").wait_for()
    assert shown.token not in one.page.url
    yield one
    assert not one.complaints
    assert {url.partition("/")[2].partition("/")[2].partition("/")[0] for url in one.asked} <= {
        f"localhost:{shown.port}"
    }


def next_message(receiver: Receiver) -> Any:
    while (got := receiver.next()).method != "samp.client.receiveNotification" or _is_event(got.params[-1]):
        pass
    return got.params[-1]


def _is_event(message: Any) -> bool:
    return str(message["samp.mtype"]).startswith("samp.")


def next_call(receiver: Receiver) -> Any:
    while (got := receiver.next()).method != "samp.client.receiveCall":
        pass
    return got.params[-1] | {"id": got.params[-2]}
