"""In place of astropy.samp and pyvo.samp: their modules, the shim, their short forms, and the command samp_hub."""

import importlib
import os
import queue
import re
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from types import ModuleType
from typing import Any
from xmlrpc.client import Fault, dumps
from xmlrpc.server import SimpleXMLRPCServer

import pytest

import hubfarm
from hubfarm import Farm, SAMPHubError, SAMPHubServer, SAMPIntegratedClient, SAMPWarning, connection
from hubfarm.client.client import SAMPClient
from hubfarm.dropin.layout import LAYOUT, PACKAGE
from hubfarm.switches import SWITCHES, VARIABLE
from tests.client.client_support import Inbox, hub, pair
from tests.support import PATIENCE, ROOT, read_lock_file, running, wait_for

__all__ = ["hub", "pair"]

Pair = tuple[SAMPIntegratedClient, SAMPIntegratedClient]


def run(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program's text in a Python of its own."""
    settings: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 60}
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program), *arguments], **(settings | options))


# ---------------------------------------------------------------------- modules and names


@pytest.mark.parametrize("module", LAYOUT)
def test_every_module_has_its_names(module: str) -> None:
    imported = importlib.import_module(f"hubfarm.{module}")
    for name, home in LAYOUT[module].items():
        assert getattr(imported, name) is getattr(importlib.import_module(home), name)
    assert set(imported.__all__) == set(LAYOUT[module])


def test_the_package_has_the_names_of_its_modules() -> None:
    for name, home in PACKAGE.items():
        assert name in hubfarm.__all__
        assert getattr(hubfarm, name) is getattr(importlib.import_module(home), name)


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")
@pytest.mark.parametrize("toolkit", ["astropy.samp", "pyvo.samp"])
def test_every_public_name_of_theirs_is_in_the_layout(toolkit: str) -> None:
    theirs = importlib.import_module(toolkit)
    for name, value in vars(theirs).items():
        if not name.startswith("_") and not isinstance(value, type(theirs)) and name != "Conf":
            assert name in PACKAGE, f"{toolkit}.{name}"
    for module in LAYOUT:
        if module in ("hub_script" if toolkit == "pyvo.samp" else "vo_helpers",):
            continue
        their_module = importlib.import_module(f"{toolkit}.{module}")
        own = {
            name
            for name, value in vars(their_module).items()
            if getattr(value, "__module__", "") == f"{toolkit}.{module}"
        }
        public = getattr(their_module, "__all__", [name for name in own if not name.startswith("_")])
        assert set(public) == set(LAYOUT[module]), f"{toolkit}.{module}"


def _is_of(value: object, module: ModuleType) -> bool:
    name = getattr(value, "__name__", "_")
    return getattr(value, "__module__", "") == module.__name__ and not name.startswith("_")


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")
def test_what_is_constant_is_the_same() -> None:
    theirs = importlib.import_module("astropy.samp")
    assert hubfarm.SAFE_MTYPES == theirs.SAFE_MTYPES
    assert hubfarm.SAMP_ICON.startswith(b"\x89PNG")
    subtypes = hubfarm.SAMPHubServer.get_mtype_subtypes("table.load.votable")
    assert subtypes == theirs.SAMPHubServer.get_mtype_subtypes("table.load.votable")


@pytest.mark.parametrize(
    "statement",
    [
        "import hubfarm.hub; hubfarm.hub.SAMPHubServer",
        "import hubfarm; hubfarm.hub_proxy.SAMPHubProxy",
        "from hubfarm import lockfile_helpers; lockfile_helpers.get_running_hubs",
        "from hubfarm.client import SAMPClient",
        "from hubfarm.constants import *; SAMP_STATUS_OK, SAFE_MTYPES",
        "from hubfarm.utils import SAMPMsgReplierWrapper as wrapper",
    ],
)
def test_ways_to_import(statement: str, home: Path) -> None:
    done = run(statement)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_there_is_none_of_is_pythons_own_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'hubfarm\.nonsense'"):
        importlib.import_module("hubfarm.nonsense")
    with pytest.raises(AttributeError, match="'hubfarm' has no attribute 'nonsense'"):
        hubfarm.nonsense  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"'hubfarm\.client' has no attribute 'nonsense'"):
        hubfarm.client.nonsense  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match=r"'hubfarm\.hub' has no attribute 'nonsense'"):
        importlib.import_module("hubfarm.hub").nonsense  # noqa: B018


def test_a_module_loads_a_name_when_it_is_used() -> None:
    loaded = "[name for name in sys.modules if name.startswith('hubfarm.client.') or name == 'hubfarm.worker']"
    done = run(f"import sys, hubfarm.integrated_client, hubfarm.hub, hubfarm.client; print({loaded})")
    assert done.stdout == "[]\n"


# ---------------------------------------------------------------------- attributes that programs read


def test_a_client_tells_what_it_was_made_with() -> None:
    client = SAMPIntegratedClient("me", "mine", {"my.key": "x"}, "127.0.0.1", 0, False)
    assert client.client_arguments == {
        "name": "me",
        "description": "mine",
        "metadata": {"my.key": "x"},
        "addr": "127.0.0.1",
        "port": 0,
        "callable": False,
    }
    assert isinstance(client.client, SAMPClient)


def test_a_dialog_is_shown_what_a_hub_asks(home: Path) -> None:
    shown = []

    class Dialog(hubfarm.WebProfileDialog):
        def show_dialog(self, samp_name: str, details: Any, client: Any, origin: str) -> None:
            shown.append((samp_name, origin))
            self.consent() if samp_name == "good" else self.reject()

    dialog = Dialog()
    dialog.handle_queue()
    dialog.consent()
    assert shown == []
    dialog.queue_request, dialog.queue_result = queue.Queue(), queue.Queue()
    for identity in ({"samp.name": "good"}, "bad"):
        dialog.queue_request.put((identity, ("127.0.0.1", 1), "https://example.org"))
        dialog.handle_queue()
    dialog.handle_queue()
    assert shown == [("good", "https://example.org"), ("bad", "https://example.org")]
    assert [dialog.queue_result.get_nowait() for _ in shown] == [True, False]


# ---------------------------------------------------------------------- lock files


def test_lock_files_are_written_read_and_asked_about(home: Path, hub: SAMPHubServer) -> None:
    from hubfarm import lockfile_helpers as helpers  # type: ignore[attr-defined]

    copy = home / "a copy"
    helpers.write_lockfile(copy, hub.params)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert (
        read_lock_file(copy) == helpers.read_lockfile(str(copy)) == helpers.read_lockfile(copy.as_uri()) == hub.params
    )
    assert helpers.check_running_hub(str(copy)) == (True, hub.params)
    dead = hub.params | {"samp.hub.xmlrpc.url": "http://127.0.0.1:9/"}
    helpers.write_lockfile(copy, dead)
    assert helpers.check_running_hub(str(copy)) == (False, dead)
    copy.write_text("nonsense")
    assert helpers.check_running_hub(str(copy)) == (False, {})
    assert helpers.check_running_hub(str(home / "missing")) == (False, {})
    with pytest.raises(OSError, match="missing"):
        helpers.read_lockfile(str(home / "missing"))


def test_the_main_hub_is_that_of_samp_hub_or_the_home(
    home: Path, hub: SAMPHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfarm import lockfile_helpers as helpers  # type: ignore[attr-defined]

    with pytest.raises(SAMPHubError, match="no hub runs there"):
        helpers.get_main_running_hub()
    monkeypatch.setenv("SAMP_HUB", Farm().environment("mine")["SAMP_HUB"])
    assert helpers.get_main_running_hub() == hub.params
    assert list(helpers.get_running_hubs().values()) == [hub.params]
    monkeypatch.delenv("SAMP_HUB")
    helpers.write_lockfile(home / ".samp", hub.params | {"samp.hub.xmlrpc.url": "http://127.0.0.1:9/"})
    with pytest.raises(SAMPHubError, match="no hub answers at"):
        helpers.get_main_running_hub()


def test_a_hub_of_somebodys_own_gets_a_lock_file_where_none_lives(
    home: Path, hub: SAMPHubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfarm import lockfile_helpers as helpers  # type: ignore[attr-defined]

    theirs = hub.params | {"samp.secret": "theirs"}
    path = helpers.create_lock_file(mode="single", hub_params=theirs)
    assert (path, read_lock_file(home / ".samp")) == (str(home / ".samp"), theirs)
    with pytest.warns(SAMPWarning, match="runs already"):
        assert helpers.create_lock_file(mode="single", hub_params=theirs) is False
    path = helpers.create_lock_file(mode="multiple", hub_id="7", hub_params=theirs)
    assert path == str(home / ".samp-1" / "samp-hub-7")
    monkeypatch.setenv("SAMP_HUB", "std-lockurl:http://127.0.0.1/lock")
    with pytest.warns(SAMPWarning, match="cannot write a lock file"):
        assert helpers.create_lock_file("elsewhere", hub_params=theirs) is False


def test_garbage_is_what_gc_takes_for_it(home: Path, hub: SAMPHubServer) -> None:
    from hubfarm import lockfile_helpers as helpers  # type: ignore[attr-defined]

    ended = subprocess.Popen(["true"])
    ended.wait()
    dead, slow = (home / ".samp-1" / f"samp-hub-{pid}-1" for pid in (ended.pid, os.getpid()))
    for path in (dead, slow):
        path.write_text("samp.secret=x\nsamp.hub.xmlrpc.url=http://127.0.0.1:9/\nsamp.profile.version=1.3\n")
        os.utime(path, (1, 1))
    helpers.remove_garbage_lock_files()
    assert (dead.exists(), slow.exists()) == (False, True)


# ---------------------------------------------------------------------- XML-RPC by the standard library


def test_xml_with_a_document_type_is_refused() -> None:
    from hubfarm.utils import safe_xmlrpc_loads  # type: ignore[import-not-found]

    document = dumps(({"a": "1"},), "my.method")
    assert safe_xmlrpc_loads(document) == (({"a": "1"},), "my.method")
    with pytest.raises(ValueError, match="document types are refused"):
        safe_xmlrpc_loads(document.replace("<methodCall>", '<!DOCTYPE x [<!ENTITY e "x">]><methodCall>'))


def test_the_server_proxy_calls_a_hub(hub: SAMPHubServer) -> None:
    proxy = hubfarm.SAMPXXEServerProxy(hub.params["samp.hub.xmlrpc.url"], allow_none=True)
    assert proxy.samp.hub.ping() == ""
    with pytest.raises(Fault, match="private key"):
        proxy.samp.hub.getRegisteredClients("nobody's")
    proxy("close")()
    with SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
        server._marshaled_dispatch = lambda *_: b"<!DOCTYPE x><methodResponse/>"  # type: ignore[assignment]
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        evil = hubfarm.SAMPXXEServerProxy(f"http://127.0.0.1:{server.server_address[1]}/")
        with pytest.raises(ValueError, match="document types are refused"):
            evil.ping()
        evil("close")()
        thread.join()


# ---------------------------------------------------------------------- pyvo's short forms


def test_a_connection_is_a_client_of_the_hub_that_is_named(hub: SAMPHubServer) -> None:
    with connection("me", "mine", label="mine", metadata={"my.key": "x"}) as conn:
        assert conn.get_metadata(conn.get_public_id()) == {
            "samp.name": "me",
            "samp.description.text": "mine",
            "my.key": "x",
        }
        assert hubfarm.find_client_id(conn, "Hub") == "hub"
        with pytest.raises(KeyError, match="nobody"):
            hubfarm.find_client_id(conn, "nobody")
    assert not conn.is_connected


def test_products_are_told_to_all_and_to_one(pair: Pair) -> None:
    one, two = pair
    heard = Inbox()
    two.bind_receive_notification("*", lambda key, sender, mtype, params, extra: heard(mtype, params["name"]))
    hubfarm.send_image_to(one, "file:///i.fits", name="i")
    assert heard.next() == ("image.load.fits", "i")
    hubfarm.send_spectrum_to(one, "file:///s.fits", "two")
    assert heard.next() == ("spectrum.load.ssa-generic", "data")
    hubfarm.send_product_to(one, "file:///x", "my.mtype", client_name="two")
    assert heard.next() == ("my.mtype", "data")


@pytest.mark.parametrize("to", [None, "two"])
def test_a_table_is_there_until_it_was_loaded(pair: Pair, to: str | None) -> None:
    table = pytest.importorskip("astropy.table").Table({"ra": [10.5]})
    one, two = pair
    loaded = Inbox()

    @two.on_call("table.load.votable")
    def load(message: hubfarm.Message) -> None:
        path = Path(str(message.params["url"]).removeprefix("file://"))
        loaded(message.params["name"], "10.5" in path.read_text(), path)

    hubfarm.send_table_to(one, table, to, name="mine")
    name, there, path = loaded.next()
    assert (name, there) == ("mine", True)
    assert not path.exists()


def test_who_does_not_load_a_table_is_warned_of_and_others_get_it(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pytest.importorskip("astropy.table").Table({"ra": [10.5]})
    monkeypatch.setattr("hubfarm.dropin.vo_helpers._LOAD_TIMEOUT", "1")
    one, two = pair
    loaded = Inbox()
    two.bind_receive_call("table.load.votable", lambda *_: None)  # never replies
    with SAMPIntegratedClient("three") as three:
        three.connect(hub_params=one.hub.lockfile)
        three.on_call("table.load.votable")(lambda message: loaded(message.mtype))
        with pytest.warns(SAMPWarning, match=f"{two.get_public_id()} did not load the table data"):
            hubfarm.send_table_to(one, table)
        loaded.next()
        with pytest.raises(Fault):
            hubfarm.send_table_to(one, table, "two")


# ---------------------------------------------------------------------- the shim


SHOW = """
import sys
from astropy.samp import SAMPIntegratedClient, conf
import astropy.samp.hub, astropy.samp.lockfile_helpers
from pyvo.samp import connection
print(__name__, sys.argv[1:], SAMPIntegratedClient.__module__, astropy.samp.hub.SAMPHubServer.__module__)
with connection("me") as conn:
    print(conn.get_metadata(conn.get_public_id())["samp.name"])
if __name__ == "__main__":
    sys.exit(3)
"""


@pytest.mark.interop
@pytest.mark.parametrize("way", ["file", "module", "command"])
def test_a_whole_program_runs_with_ours(home: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = home / "program.py"
    program.write_text(SHOW)
    command = home / "program"
    command.write_text(f"#!{sys.executable}\n{SHOW}")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(home), prepend=os.pathsep)
    named = {"file": ["program.py"], "module": ["-m", "program"], "command": ["program"]}[way]
    line = [sys.executable, "-W", "error", "-m", "hubfarm.as_astropy_samp", *named, "-x", "y"]
    with SAMPHubServer():
        done = subprocess.run(line, cwd=home, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (3, "")
    ours = "hubfarm.client.integrated hubfarm.worker.embedded"
    assert done.stdout == f"__main__ ['-x', 'y'] {ours}\nme\n"


@pytest.mark.interop
def test_the_shim_takes_the_place_of_what_is_imported_already(home: Path) -> None:
    done = run(
        """
        import warnings; warnings.simplefilter("ignore")
        import astropy.samp, astropy.samp.hub, pyvo
        import hubfarm.as_astropy_samp
        from astropy.samp.hub import SAMPHubServer
        print(astropy.samp.hub.SAMPHubServer is SAMPHubServer, SAMPHubServer.__module__)
        print(pyvo.samp.SAMPHubServer is SAMPHubServer)
        """
    )
    assert done.stdout == "True hubfarm.worker.embedded\nTrue\n", done.stderr


@pytest.mark.interop
def test_of_theirs_nothing_is_left_to_be_found(home: Path) -> None:
    done = run("import hubfarm.as_astropy_samp, astropy.samp.web_profile")
    assert "No module named 'astropy.samp.web_profile'" in done.stderr


@pytest.mark.parametrize(
    ("value", "on"), [(None, [name for name in SWITCHES if name != "env_get"]), ("", []), ("env_get", ["env_get"])]
)
def test_the_shim_turns_the_switches_on_but_one(
    monkeypatch: pytest.MonkeyPatch, value: str | None, on: list[str]
) -> None:
    if value is not None:
        monkeypatch.setenv(VARIABLE, value)
    show = "print([name for name in SWITCHES if getattr(conf, name)])"
    done = run(f"import hubfarm.as_astropy_samp; from hubfarm.switches import SWITCHES, conf; {show}")
    assert done.stdout == f"{on}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: "),
        (["-x"], "usage: "),
        (["missing.py"], "no program missing.py"),
        (["-m", "missing"], "no module missing"),
        (["-m", "missing.module"], "no module missing.module"),
        (["ls"], "ls is no program in Python"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_run_is_one_line(home: Path, arguments: list[str], said: str) -> None:
    line = [sys.executable, "-m", "hubfarm.as_astropy_samp", *arguments]
    done = subprocess.run(line, cwd=home, capture_output=True, text=True, timeout=60)
    (error,) = done.stderr.splitlines()
    assert (done.returncode, done.stdout, said in error) == (2, "", True)


# ---------------------------------------------------------------------- samp_hub


LAUNCHER = [sys.executable, str(ROOT / "bin" / "samp_hub")]


@pytest.mark.parametrize(
    "options",
    [
        "-k xyzzy -d 127.0.0.2 -p 0 -f {lock} -w -P 5 -t 3600 -c 600 -L WARN -O {log} -l MyHub",
        "--secret xyzzy --addr 127.0.0.2 --port 0 --lockfile {lock} --no-web-profile --pool-size 5 --timeout 3600"
        " --client-timeout 600 --log-level NOTSET --log-output {log} --label MyHub",
    ],
    ids=["short", "long"],
)
def test_samp_hub_takes_astropys_options(home: Path, options: str) -> None:
    lock = home / "lock"
    line = [*LAUNCHER, *options.format(lock=lock, log=home / "log").split()]
    with running(*line, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_for(lambda: lock.exists() or process.poll() is not None, "its lock file appears")
        tokens = read_lock_file(lock)
        assert (tokens["samp.secret"], tokens["hub.label"]) == ("xyzzy", "MyHub")
        assert tokens["samp.hub.xmlrpc.url"].startswith("http://127.0.0.2:")
        process.terminate()
        assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0
    assert not lock.exists()


@pytest.mark.interop
@pytest.mark.filterwarnings("ignore:astropy.samp was deprecated")
def test_samp_hub_has_every_option_of_astropys(home: Path) -> None:
    from hubfarm.cli.samp_hub import samp_hub

    program = "from astropy.samp.hub_script import hub_script; hub_script()"
    line = [sys.executable, "-W", "ignore", "-c", program, "--help"]
    shown = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    theirs = set(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", shown))
    assert {"-k", "--secret", "-m", "--multi", "--no-web-profile", "-P"} < theirs
    ours = {name for parameter in samp_hub.params for name in parameter.opts} | {"-h", "--help"}
    assert theirs - ours == set()


def test_samp_hub_refuses_where_a_hub_lives_and_says_so(home: Path) -> None:
    with SAMPHubServer():
        done = subprocess.run(LAUNCHER, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert done.stderr.startswith("samp_hub: a hub runs already")


def test_the_function_ends_after_its_time(home: Path) -> None:
    done = run(
        """
        import sys
        from hubfarm.hub_script import hub_script, log
        hub_script(timeout=0.5)
        print(log.level)
        """,
        *("-m", "-w", "--log-level", "ERROR"),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "40\n", "")


def test_the_function_ends_a_program_that_uses_it_wrongly(home: Path) -> None:
    done = run("from hubfarm.hub_script import hub_script; hub_script()", "--nonsense")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--nonsense" in done.stderr
