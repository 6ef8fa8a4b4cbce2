"""``%load_ext hubfarm`` in an IPython: ``%samp``, tables that arrive, progress."""

import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hubfarm import Message, SAMPHubServer, SAMPIntegratedClient
from hubfarm import notebook as extension
from hubfarm.client.data import DataSending
from tests.client.client_support import hub, our_threads
from tests.support import need_module, wait_for

__all__ = ["hub"]

SCRIPT = "<script>alert(1)</script>"


class Notebook:
    """An IPython with our extension; what it shows is kept."""

    def __init__(self) -> None:
        no_history = need_module("traitlets.config").Config({"HistoryManager": {"enabled": False}})  # nor its thread
        self.shell: Any = need_module("IPython.core.interactiveshell").InteractiveShell(config=no_history)
        self.shell.display_pub = need_module("IPython.core.displaypub").CapturingDisplayPublisher(shell=self.shell)
        self.shell.run_line_magic("load_ext", "hubfarm")

    def samp(self, line: str = "") -> None:
        """Run ``%samp``."""
        self.shell.run_line_magic("samp", line)

    def shown(self, kind: str = "text/plain") -> list[str]:
        """Return what was shown so far, in one form."""
        return [output["data"][kind] for output in self.shell.display_pub.outputs]

    @property
    def variables(self) -> dict[str, Any]:
        """What the notebook's cells see."""
        names: dict[str, Any] = self.shell.user_ns
        return names


@pytest.fixture
def notebook(home: Path) -> Iterator[Notebook]:
    """An IPython with our extension, no hub yet."""
    one = Notebook()
    yield one
    one.shell.run_line_magic("unload_ext", "hubfarm")


@pytest.fixture
def sender(hub: SAMPHubServer, notebook: Notebook) -> Iterator[SAMPIntegratedClient]:
    """A client on the hub that the notebook is on too."""
    notebook.samp("mine")
    with SAMPIntegratedClient("sender") as one:
        one.connect(hub)
        yield one


@pytest.fixture
def table() -> Any:
    return need_module("astropy.table").Table({"ra": [10.5, 11.25]})


def test_it_shows_hubs_then_the_clients_of_the_one_it_is_on(hub: SAMPHubServer, notebook: Notebook) -> None:
    notebook.samp()
    assert notebook.shown() == [f"<HubInfo mine: running, {hub.params['samp.hub.xmlrpc.url']}>"]
    notebook.samp("mi")
    client = notebook.variables["samp_client"]
    assert client.is_connected
    assert notebook.shown()[-1].startswith(f"<SAMPIntegratedClient notebook: {client.get_public_id()} on mine>\n")
    with SAMPIntegratedClient("another") as another:
        another.connect(hub)
        notebook.samp()
        assert f"  another ({another.get_public_id()})" in notebook.shown()[-1].splitlines()
    notebook.samp("--off")
    assert not client.is_connected
    assert "samp_client" not in notebook.variables


def test_it_is_called_as_its_file_where_jupyter_says_it(
    hub: SAMPHubServer, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/work/galaxies.ipynb")
    notebook.samp("mine")
    assert notebook.shown()[-1].startswith("<SAMPIntegratedClient galaxies:")


@pytest.mark.filterwarnings("ignore:.*Completer.complete.*:PendingDeprecationWarning")
def test_labels_are_completed(hub: SAMPHubServer, notebook: Notebook) -> None:
    assert "mine" in notebook.shell.complete("mi", "%samp mi")[1]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("none", r"no running hub is meant by 'none'"),
        ("--on", r"no option --on: write %samp HUB, %samp"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(hub: SAMPHubServer, notebook: Notebook, line: str, said: str) -> None:
    with pytest.raises(need_module("IPython.core.error").UsageError, match=said) as raised:
        notebook.samp(line)
    assert "\n" not in str(raised.value)
    assert "samp_client" not in notebook.variables


def test_a_variable_that_is_the_users_stays_so(hub: SAMPHubServer, notebook: Notebook) -> None:
    notebook.variables["samp_client"] = "mine"
    with pytest.raises(need_module("IPython.core.error").UsageError, match="samp_client is yours"):
        notebook.samp("mine")
    assert notebook.variables["samp_client"] == "mine"
    assert our_threads() == ["hubfarm-hub"]


def test_tables_arrive_under_names_that_are_ours(notebook: Notebook, sender: SAMPIntegratedClient, table: Any) -> None:
    notebook.variables["samp_table_1"] = "the user's"
    for name in ("print", SCRIPT):
        assert [receipt.ok for receipt in sender.send_table(table, name=name)] == [True]
    assert notebook.variables["samp_table_1"] == "the user's"
    assert [list(notebook.variables[f"samp_table_{n}"]["ra"]) for n in (2, 3)] == [[10.5, 11.25]] * 2
    assert "print" not in notebook.variables
    me = f"sender ({sender.get_public_id()})"
    assert notebook.shown()[-2] == f"samp_table_2: the table print of {me}, 2 rows, 1 columns"
    assert SCRIPT not in notebook.shown("text/html")[-1]
    assert SCRIPT in notebook.shown()[-1]


def test_more_tables_than_it_keeps_are_refused_with_the_reason(
    notebook: Notebook, sender: SAMPIntegratedClient, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extension, "MOST_TABLES", 2)
    *_, last = (sender.send_table(table)[0] for _ in range(3))
    assert "holds 2 tables, and takes no more: del samp_table_1" in last.error
    del notebook.variables["samp_table_1"]
    assert sender.send_table(table)[0].ok


def test_what_is_no_table_is_told_to_both_in_one_line(
    notebook: Notebook, sender: SAMPIntegratedClient, tmp_path: Path
) -> None:
    (tmp_path / "none.vot").write_text("<VOTABLE")
    (receipt,) = sender.send_table(tmp_path / "none.vot", name=SCRIPT)
    assert not receipt.ok
    assert f"the table {SCRIPT} of sender" in notebook.shown()[-1]
    assert "was not taken" in notebook.shown()[-1]
    assert "\n" not in notebook.shown()[-1]
    assert "samp_table_1" not in notebook.variables


def test_names_of_others_are_words_in_the_list_of_clients(hub: SAMPHubServer, notebook: Notebook) -> None:
    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            tags.add(tag)

    tags: set[str] = set()
    metadata = {"samp.name": SCRIPT, "samp.description.text": SCRIPT, "samp.icon.url": f"javascript:{SCRIPT}"}
    with SAMPIntegratedClient(metadata=metadata) as hostile:
        hostile.connect(hub)
        notebook.samp("mine")
    Tags().feed(notebook.shown("text/html")[-1])
    assert tags == {"table", "caption", "tr", "th", "td", "span", "img"}
    assert SCRIPT in notebook.shown()[-1]


def test_a_long_sending_shows_how_it_goes_and_a_short_one_nothing(
    notebook: Notebook, sender: SAMPIntegratedClient, hub: SAMPHubServer, table: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(notebook.shown())
    client = notebook.variables["samp_client"]
    seen = threading.Event()
    patient = False

    @sender.on_call("table.load.votable")
    def load(message: Message) -> None:
        if patient:
            seen.wait(30)

    assert client.send_table(table)[0].ok
    assert len(notebook.shown()) == before

    monkeypatch.setattr(extension, "AFTER", 0.01)
    patient = True
    sending = threading.Thread(target=client.send_table, args=(table,))
    sending.start()
    me = f"sender ({sender.get_public_id()})"
    wait_for(lambda: any(f"0 of 1 have answered, {me} loads it" in text for text in notebook.shown()), "it is shown")
    assert '<progress value="0" max="1">' in notebook.shown("text/html")[-1]
    seen.set()
    sending.join()
    assert notebook.shown()[-1].endswith("MB): 1 of 1 have answered")
    shown = notebook.shell.display_pub.outputs[before:]
    assert len({output["transient"]["display_id"] for output in shown}) == 1
    assert [output["update"] for output in shown] == [False] + [True] * (len(shown) - 1)


def test_unloaded_it_leaves_the_hub_and_nothing_behind(hub: SAMPHubServer, home: Path) -> None:
    unwatched = DataSending.watch
    one = Notebook()
    assert DataSending.watch is not unwatched
    one.samp("mine")
    client = one.variables["samp_client"]
    one.shell.run_line_magic("unload_ext", "hubfarm")
    assert not client.is_connected
    assert one.shell.find_line_magic("samp") is None
    assert DataSending.watch is unwatched
    assert our_threads() == ["hubfarm-hub"]
