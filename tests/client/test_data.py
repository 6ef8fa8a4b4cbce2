"""Tables, images and spectra: sent as users send them, received as users receive them."""

import asyncio
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hubfarm import AsyncClient, Message, SAMPHubServer, SAMPIntegratedClient, WrongUse
from hubfarm.client.data import Progress
from tests.client.client_support import Inbox, hub, our_threads, pair
from tests.support import need_module, open_files, wait_for

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


@pytest.fixture
def table() -> Any:
    return need_module("astropy.table").Table({"ra": [10.5, 11.25], "name": ["M 31", "größe"]}, names=("ra", "name"))


def test_a_table_arrives_as_a_table(pair: Pair, table: Any) -> None:
    one, two = pair
    heard = Inbox()
    two.on_table(heard)
    (receipt,) = one.send_table(table, name="galaxies")
    assert (receipt.ok, receipt.id, receipt.name, receipt.error) == (True, two.get_public_id(), "two", "")
    (received,) = heard.next()
    assert list(received["ra"]) == [10.5, 11.25]
    assert list(received["name"]) == ["M 31", "größe"]
    assert received.meta["samp"]["name"] == "galaxies"


def test_a_votable_with_what_no_table_holds_arrives_as_it_is(pair: Pair, table: Any) -> None:
    tree = need_module("astropy.io.votable.tree")
    votable = tree.VOTableFile.from_table(table)
    votable.infos.append(tree.Info(name="QUERY_STATUS", value="OVERFLOW"))
    one, two = pair
    heard = Inbox()
    two.on_call("table.load.votable")(
        lambda message: heard(urllib.request.urlopen(str(message.params["url"])).read().decode())
    )
    assert [receipt.ok for receipt in one.send_table(votable)] == [True]
    (text,) = heard.next()
    assert 'value="OVERFLOW"' in text
    assert "größe" in text


def test_who_cannot_take_it_says_why(pair: Pair, table: Any, tmp_path: Path) -> None:
    one, two = pair

    @two.on_call("table.load.votable")
    def refuse(message: Message) -> None:
        raise RuntimeError("no memory")

    (receipt,) = one.send_table(table)
    assert not receipt.ok
    assert "no memory" in receipt.error
    assert one.send_image([[1.0, 2.0]]) == []


def test_a_recipient_is_named_by_its_id_or_its_name(pair: Pair, table: Any) -> None:
    one, two = pair
    two.on_table(Inbox())
    for to in (two.get_public_id(), "two", "TWO"):
        assert [receipt.ok for receipt in one.send_table(table, to=to)] == [True]
    with pytest.raises(WrongUse, match=r"no clients are called 'three': there are .*\(two\)"):
        one.send_table(table, to="three")


def test_files_are_sent_as_what_they_are(pair: Pair, table: Any, tmp_path: Path) -> None:
    one, two = pair
    heard = Inbox()

    @two.on_call("*")
    def load(message: Message) -> None:
        heard(message.mtype, message.params["url"])

    table.write(tmp_path / "t.xml", format="votable")
    table[["ra"]].write(tmp_path / "t.dat", format="fits")
    table.write(tmp_path / "t.csv", format="ascii.csv")
    one.send_table(tmp_path / "t.xml", to="two")
    assert heard.next() == ("table.load.votable", (tmp_path / "t.xml").as_uri())
    one.send_table(str(tmp_path / "t.dat"), to="two")
    assert heard.next() == ("table.load.fits", (tmp_path / "t.dat").as_uri())
    one.send_table(tmp_path / "t.csv", to="two")
    assert heard.next()[0] == "table.load.votable"
    one.send_image((tmp_path / "t.dat").as_uri(), to="two")
    assert heard.next() == ("image.load.fits", (tmp_path / "t.dat").as_uri())
    one.send_table("http://example.org/a.fits", to="two")
    assert heard.next() == ("table.load.fits", "http://example.org/a.fits")
    one.send_spectrum(table, to="two")
    assert heard.next()[0] == "spectrum.load.ssa-generic"
    for wrong, said in ((tmp_path / "none", "cannot send the file"), (tmp_path / "t.csv", "not FITS")):
        with pytest.raises(WrongUse, match=said):
            one.send_image(wrong)
    with pytest.raises(WrongUse, match="int"):
        one.send_table(7)


def test_an_array_arrives_as_a_fits_image(pair: Pair) -> None:
    fits = need_module("astropy.io.fits")
    one, two = pair
    heard = Inbox()

    @two.on_call("image.load.fits")
    def load(message: Message) -> None:
        heard(fits.getdata(urlsplit(str(message.params["url"])).path).tolist())

    one.send_image([[1.0, 2.0], [3.0, 4.0]])
    assert heard.next() == ([[1.0, 2.0], [3.0, 4.0]],)
    one.send_image(fits.PrimaryHDU([[5.0]]))
    assert heard.next() == ([[5.0]],)


def test_served_over_http_until_the_sender_disconnects(hub: SAMPHubServer, table: Any) -> None:
    with SAMPIntegratedClient("two") as two:
        two.connect(hub)
        heard = Inbox()

        @two.on_call("table.load.votable")
        def load(message: Message) -> None:
            with urllib.request.urlopen(str(message.params["url"]), timeout=10) as answer:
                heard(message.params["url"], answer.read())

        def send() -> Any:
            with SAMPIntegratedClient("one") as one:
                one.connect(hub)
                one.send_table(table, serve=True)
            return heard.next()

        url, content = send()
        assert b"<VOTABLE" in content
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(url, timeout=10)
        before = open_files()
        send()
        wait_for(lambda: open_files() <= before, "the hub has closed its ends, too")
    assert our_threads() == ["hubfarm-hub"]


def test_what_was_written_is_removed_when_the_sender_disconnects(pair: Pair, table: Any) -> None:
    one, two = pair
    heard = Inbox()
    two.on_call("table.load.votable")(lambda message: heard(message.params["url"]))
    one.send_table(table)
    path = Path(urlsplit(heard.next()[0]).path)
    assert path.is_file()
    one.disconnect()
    assert not path.exists()


def test_rows_and_the_sky_are_pointed_at(pair: Pair) -> None:
    one, two = pair
    heard = Inbox()
    for mtype in ("table.*", "coord.*"):
        two.on_notification(mtype)(lambda message: heard(message.mtype, message.params))
    one.highlight_row("http://example.org/t", 3)
    assert heard.next() == (
        "table.highlight.row",
        {"table-id": "http://example.org/t", "url": "http://example.org/t", "row": "3"},
    )
    one.select_rows("mine", [1, 2], to=two.get_public_id())
    assert heard.next() == ("table.select.rowList", {"table-id": "mine", "row-list": ["1", "2"]})
    one.point_at_sky(10.5, -5)
    assert heard.next() == ("coord.pointAt.sky", {"ra": "10.5", "dec": "-5.0"})
    sky = need_module("astropy.coordinates").SkyCoord(10.5, -5, unit="deg")
    one.point_at_sky(sky)
    assert float(heard.next()[1]["dec"]) == pytest.approx(-5)


def test_the_asyncio_client_sends_and_receives_tables_too(hub: SAMPHubServer, table: Any) -> None:
    async def main() -> tuple[bool, int]:
        received = []
        two = AsyncClient("two")
        two.on_table(received.append)
        await two.connect(hub)
        async with AsyncClient("one", hub=hub) as one:
            (receipt,) = await one.send_table(table, serve=True)
        await two.disconnect()
        return receipt.ok, len(received[0])

    assert asyncio.run(main()) == (True, 2)


def test_code_written_for_astropy_samp_works_with_the_import_changed(hub: SAMPHubServer, table: Any) -> None:
    """What its documentation shows, in our words: a receiver with a class, a sender with a message."""
    sender, receiver = SAMPIntegratedClient(), SAMPIntegratedClient()
    sender.connect(hub=hub)
    receiver.connect(hub=hub)

    class Receiver:
        def __init__(self, client: SAMPIntegratedClient) -> None:
            self.client = client
            self.received = Inbox()

        def receive_call(
            self, private_key: str, sender_id: str, msg_id: str, mtype: str, params: Any, extra: Any
        ) -> None:
            self.received(params)
            self.client.reply(msg_id, {"samp.status": "samp.ok", "samp.result": {}})

        def receive_notification(self, private_key: str, sender_id: str, mtype: str, params: Any, extra: Any) -> None:
            self.received(params)

    mine = Receiver(receiver)
    receiver.bind_receive_call("table.load.votable", mine.receive_call)
    receiver.bind_receive_notification("table.load.votable", mine.receive_notification)
    params = {"url": "file:///tmp/t.xml", "name": "A table"}
    message = {"samp.mtype": "table.load.votable", "samp.params": params}
    sender.notify_all(message)
    assert mine.received.next() == (params,)
    assert sender.call_and_wait(receiver.get_public_id(), message, "10")["samp.status"] == "samp.ok"  # type: ignore[arg-type]
    assert mine.received.next() == (params,)
    sender.disconnect()
    receiver.disconnect()


def test_a_subclass_is_told_how_each_sending_goes(hub: SAMPHubServer, table: Any) -> None:
    told: list[Progress] = []

    class Watching(SAMPIntegratedClient):
        @staticmethod
        def watch() -> Callable[[Progress], None]:
            return told.append

    with Watching("one") as one, SAMPIntegratedClient("two") as two:
        one.connect(hub)
        two.connect(hub)
        two.on_table(Inbox())
        receipts = one.send_table(table)
        me = f"two ({two.get_public_id()})"
        assert told[0] == Progress("table", None, (), (), False)
        assert [progress.waiting for progress in told[1:]] == [(two.get_public_id(),), (me,), (), ()]
        assert (told[-1].receipts, told[-1].is_over) == (tuple(receipts), True)
        assert told[-1].size
        told.clear()
        with pytest.raises(WrongUse, match="cannot send the file"):
            one.send_table("/none")
        assert [progress.is_over for progress in told] == [False, True]
        told.clear()
        assert one.send_image([[1.0]]) == []
        assert str(told[-1]).endswith("is sent to nobody")
