"""Restricted hubs: who proves to be one of those whom a hub is for enters, whatever happens to it; and nobody else."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault, ProtocolError, ServerProxy

import psutil
import pytest

from hubfarm import AsyncClient, SAMPHubProxy, SAMPHubServer, SAMPIntegratedClient
from hubfarm.client.chooser import _lines
from hubfarm.client.errors import SAMPProxyError
from hubfarm.client.membership import CHECK_EVERY
from hubfarm.farm import Farm
from hubfarm.registry.listing import HubInfo
from hubfarm.registry.lockdir import LockDir
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.samp.toolkit import SAMP_HUB_MULTIPLE_INSTANCE, SAMPHubError
from tests.conftest import RunCli
from tests.stories.talkers import MTYPE, Service, Talker, account_for
from tests.stories.test_secrets import in_processes, leaks
from tests.support import PATIENCE, Receiver, need_module, read_lock_file, running, wait_for

LUIGI, ANNA = "Luigi's password: 1", "Anna's"


@pytest.fixture
def people(farm: Farm) -> Farm:
    """The users luigi of mima and anna of vandels."""
    farm.users.add("luigi", LUIGI, groups=["mima"])
    farm.users.add("anna", ANNA, groups=["vandels"])
    return farm


@pytest.fixture
def hub(people: Farm) -> HubInfo:
    """A hub for the group mima."""
    return people.start(group="mima", access="group")[0]


@pytest.fixture
def password_file(tmp_path: Path) -> Callable[[str], str]:
    def write(password: str) -> str:
        path = tmp_path / "password"
        path.write_text(password + "\n")
        return str(path)

    return write


def ticket_of(farm: Farm, hub: HubInfo, user: str = "luigi", password: str = LUIGI) -> Path:
    return farm.log_in(hub.name, user=user, password=password).lock_file


@contextlib.contextmanager
def joined(lock_file: Path, *patterns: str) -> Iterator[Receiver]:
    """A client that has joined by a lock file and knows nothing of users."""
    with Receiver() as client:
        yield client.join_by(lock_file, "client", *patterns)


def is_in(client: Receiver) -> bool:
    try:
        client.hub.getRegisteredClients(client.key)
    except Fault:
        return False
    except ssl.SSLError:  # the hub was replaced; in the clear, xmlrpc.client itself tries again
        return is_in(client)
    return True


def refuses(lock_file: Path) -> str:
    """Return what a hub tells a stock program that tries to enter by a lock file."""
    tokens = read_lock_file(lock_file)
    with ServerProxy(tokens["samp.hub.xmlrpc.url"]) as proxy, pytest.raises(Fault) as caught:
        proxy.samp.hub.register(tokens["samp.secret"])
    return caught.value.faultString


def restarted(farm: Farm, hub: HubInfo) -> HubInfo:
    """Wait for the successor of a hub's worker."""

    def found() -> HubInfo | None:
        return next((each for each in farm.hubs() if each.id == hub.id and each.pid != hub.pid and each.alive), None)

    return wait_for(found, "a successor serves")  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- asking for one


@pytest.mark.parametrize(
    ("options", "what_to_do"),
    [
        ("--access group", "name it by --group"),
        ("--access owner", "name one by --owner"),
        ("--access listed", "--allow user:luigi"),
        ("--allow user:luigi", "--access listed"),
        ("--access users --allow luigi", "write one of user:NAME, group:NAME"),
        ("--access group --group oact", "hubfarm user add NAME --group oact"),
        ("--access owner --owner paul", "hubfarm user add paul"),
        ("--access listed --allow user:paul", "hubfarm user add paul"),
    ],
)
def test_restriction_that_admits_nobody_is_refused_and_says_what_to_do(
    people: Farm, cli: RunCli, options: str, what_to_do: str
) -> None:
    for more in ([], ["--foreground"]):
        done = cli("start", *options.split(), *more)
        assert done.returncode == 2
        assert what_to_do in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert people.coordinator() is None


def test_farm_file_restricts_hubs_and_nothing_is_stopped_for_a_restriction_that_cannot_be(
    people: Farm, cli: RunCli, tmp_path: Path
) -> None:
    file = tmp_path / "farm.toml"
    file.write_text('[defaults]\naccess = "group"\n[[hub]]\nlabel = "m"\ngroup = "mima"\n')
    assert cli("up", str(file)).returncode == 0
    assert (people.find("m").access, people.find("m").allow) == ("group", ())
    file.write_text('[[hub]]\nlabel = "m"\naccess = "listed"\nallow = ["user:paul"]\n')
    assert "hubfarm user add paul" in cli("up", str(file), "--replace").stderr
    assert people.find("m").access == "group"
    file.write_text('[[hub]]\nlabel = "m"\naccess = "listed"\nallow = ["user:anna", "group:mima"]\n')
    (change,) = json.loads(cli("up", str(file), "--replace", "--json").stdout)
    assert change["action"] == "replace"
    assert people.find("m").allow == ("user:anna", "group:mima")


def test_farm_file_that_lets_in_fewer_restricts_a_hub_that_runs_at_once_and_keeps_who_may_stay(
    people: Farm, cli: RunCli, tmp_path: Path
) -> None:
    file = tmp_path / "farm.toml"
    file.write_text('[[hub]]\nlabel = "m"\ngroup = "mima"\n')
    cli("up", str(file))
    before = people.find("m")
    with joined(before.lock_file) as stranger, joined(ticket_of(people, before)) as luigi:
        file.write_text('[[hub]]\nlabel = "m"\ngroup = "mima"\naccess = "group"\ntimeout = 3600\n')
        done = cli("up", str(file))
        assert "restrict" in done.stdout
        assert "access open -> group" in done.stdout
        assert "differs" in done.stdout
        assert not is_in(stranger)
        assert is_in(luigi)
        assert "this hub is for the group mima" in refuses(before.lock_file)
    assert (people.find("m").pid, people.find("m").timeout) == (before.pid, 0)
    file.write_text('[[hub]]\nlabel = "m"\ngroup = "mima"\n')
    done = cli("up", str(file))
    assert done.stderr == "hubfarm up: m lets in others than declared: hubfarm access m changes that\n"
    assert people.find("m").access == "group"


def test_farm_file_as_a_service_restricts_at_a_reload(people: Farm, tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text('[[hub]]\nlabel = "m"\ngroup = "mima"\n')
    command = [sys.executable, "-m", "hubfarm", "up", str(file), "--foreground", "--json"]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as service:
        assert service.stdout is not None
        service.stdout.readline()
        hub = wait_for(lambda: next(iter(people.hubs()), None), "the hub serves")
        with joined(hub.lock_file) as stranger:
            file.write_text('[[hub]]\nlabel = "m"\ngroup = "mima"\naccess = "group"\n')
            service.send_signal(signal.SIGHUP)
            wait_for(lambda: people.find("m").access == "group", "the hub is restricted")
            assert not is_in(stranger)
        assert people.find("m").pid == hub.pid
        for access in ("users", "open"):  # by hand, and the file holds again
            people.set_access("m", access)
            assert people.find("m").access == access
            service.send_signal(signal.SIGHUP)
            wait_for(lambda: people.find("m").access == "group", "it is restricted again")
        service.send_signal(signal.SIGTERM)
        _, log = service.communicate(timeout=60)
    assert "m lets in fewer from now on, as declared: access open -> group" in log


def test_restricted_hubs_are_marked_where_one_is_led_to_them(
    people: Farm, hub: HubInfo, cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cli("env", "mima-1")
    assert done.stdout.startswith("export SAMP_HUB=")
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == (
        "hubfarm env: mima-1 lets in nobody who does not say who they are: "
        "hubfarm exec --user NAME mima-1 -- PROGRAM, or hubfarm login mima-1 --user NAME\n"
    )
    people.start(label="open")
    assert cli("env", "open").stderr == ""
    lines = dict(zip(("mima-1", "open"), _lines(LockDir(people.paths).living()), strict=True))
    assert "for group" in lines["mima-1"]
    assert " for " not in lines["open"]


def test_what_the_commands_of_access_say_when_asked_for_what_cannot_be(people: Farm, hub: HubInfo, cli: RunCli) -> None:
    done = cli("user", "disconnect", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody was disconnected: there is no user 'nobody'" in done.stderr
    people.users.remove("anna")
    assert cli("user", "disconnect", "anna").returncode == 0  # who has gone may still be in
    done = cli("start", "--limit", "clients=-1")
    assert (done.returncode, "the limit clients is '-1': it must be a whole number, 1 or more" in done.stderr) == (
        2,
        True,
    )
    done = cli("login", "mima-1", "--user", "luigi", "--for", "40000d")
    assert (done.returncode, "--for is '40000d': it can be 36500d at most" in done.stderr) == (2, True)
    assert "36500d" in cli("login", "--help").stdout


def test_pam_that_is_not_installed_is_missed_before_anybody_types_a_password(
    people: Farm, hub: HubInfo, cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pam.py").write_text("raise ImportError\n")
    (tmp_path / "config.toml").write_text('[access]\nauthenticator = "pam"\n')
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("HUBFARM_CONFIG", str(tmp_path / "config.toml"))
    for words in (
        ["start", "--access", "users"],
        ["user", "ls"],
        ["user", "add", "paul"],
        ["login", "mima-1", "--user", "luigi"],
        ["exec", "--user", "luigi", "mima-1", "--", "true"],
        ["access", "mima-1", "users"],
    ):
        done = cli(*words)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert "pip install 'hubfarm[pam]'" in done.stderr, words
    assert cli("start", "--label", "open").returncode == 0


def test_users_are_pams_if_it_is_the_authenticator(
    cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_module("pam")
    (tmp_path / "config.toml").write_text('[access]\nauthenticator = "pam"\n')
    monkeypatch.setenv("HUBFARM_CONFIG", str(tmp_path / "config.toml"))
    for words in (["ls"], ["add", "paul"], ["rm", "paul"], ["passwd", "paul"], ["set", "paul", "--admin"]):
        done = cli("user", *words)
        assert (done.returncode, "users and their passwords are PAM's" in done.stderr) == (2, True), words


def test_refused_program_that_tries_on_is_logged_once(people: Farm, hub: HubInfo) -> None:
    for _ in range(20):
        refuses(hub.lock_file)
    assert people.log_file("mima-1").read_text().count("not let in: nobody in particular") == 1


def test_embedded_hub_and_sampy_can_be_restricted(people: Farm, home: Path) -> None:
    with SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, label="mine", access="users") as server:
        with pytest.raises(SAMPProxyError, match="this hub is for its users"):
            SAMPIntegratedClient().connect(server)
        with SAMPIntegratedClient() as client:
            client.connect(server, user="luigi", password=LUIGI)
    with pytest.raises(WrongUse, match="hubfarm user add paul"):
        SAMPHubServer(mode=SAMP_HUB_MULTIPLE_INSTANCE, access="owner", owner="paul").start()
    command = [sys.executable, "-m", "hubfarm.cli.sampy", "--multi", "--access", "group"]
    code = "from hubfarm.cli.sampy import main; import sys; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code, *command[3:]], capture_output=True, text=True)
    assert (done.returncode, "name it by --group" in done.stderr) == (2, True)


# ---------------------------------------------------------------------- ways in


def test_public_lock_file_is_there_for_listing_and_admits_nobody(people: Farm, hub: HubInfo, cli: RunCli) -> None:
    assert refuses(hub.lock_file) == (
        "this hub is for the group mima: start the program by hubfarm exec --user NAME mima-1 -- PROGRAM, "
        "or log in by hubfarm login mima-1 --user NAME"
    )
    assert "not let in: nobody in particular, from 127.0.0.1: this hub is for the group mima" in (
        people.log_file("mima-1").read_text()
    )
    (listed,) = json.loads(cli("ls", "--json").stdout)
    assert (listed["access"], listed["clients"]) == ("group", 0)
    assert "ACCESS" in cli("ls").stdout
    assert "--user NAME mima-1" in cli("clients", "mima-1").stderr


def test_user_enters_by_password_in_all_our_clients_and_by_xmlrpc_alone(people: Farm, hub: HubInfo) -> None:
    asked = []

    def remember() -> str:
        asked.append("luigi")
        return LUIGI

    with SAMPIntegratedClient("mine") as client:
        client.connect(label="mima-1", user="luigi", password=remember)
        metadata = client.get_metadata(client.get_public_id())
        assert (metadata["hubfarm.user"], metadata["hubfarm.groups"]) == ("luigi", ["mima"])
    assert asked == ["luigi"]

    async def enter(password: Any) -> Any:
        async with AsyncClient("mine", label="mima-1", user="luigi", password=password) as client:
            return await client.get_metadata(str(client.id))

    async def its_password() -> str:
        return LUIGI

    assert asyncio.run(enter(LUIGI)) == asyncio.run(enter(its_password)) == metadata
    proxy = SAMPHubProxy()
    proxy.connect(label="mima-1", user="luigi", password=LUIGI)
    proxy.register(proxy.lockfile["samp.secret"])
    proxy.disconnect()

    tokens = read_lock_file(hub.lock_file)
    with_user = tokens["samp.hub.xmlrpc.url"].replace("//", "//luigi:Luigi's%20password%3A%201@")
    with ServerProxy(with_user) as hub_itself:
        assert hub_itself.samp.hub.register(tokens["samp.secret"])["samp.self-id"]
    with SAMPIntegratedClient("mine") as client:
        client.connect(hub_params=tokens | {"samp.hub.xmlrpc.url": with_user})

    for user, password in (("anna", ANNA), ("luigi", ANNA), ("nobody", LUIGI), ("nobody", "")):
        with pytest.raises(SAMPProxyError, match=r"none of them|is wrong"):
            SAMPIntegratedClient().connect(label="mima-1", user=user, password=password)
    log = people.log_file("mima-1").read_text()
    assert "registered: the user luigi, from 127.0.0.1" in log
    assert "not let in: the user anna, from 127.0.0.1: " in log
    assert "a wrong password of the user 'luigi'" in log


def test_password_that_is_missing_is_asked_for_on_a_terminal_and_is_an_error_without(hub: HubInfo) -> None:
    with pytest.raises(SAMPHubError, match="no terminal to ask for the password of luigi"):
        SAMPIntegratedClient().connect(label="mima-1", user="luigi")
    with pytest.raises(WrongUse, match="no user"):
        SAMPIntegratedClient().connect(label="mima-1", password="x")


def test_login_prints_what_leads_unmodified_programs_in(
    people: Farm, hub: HubInfo, cli: RunCli, password_file: Callable[[str], str]
) -> None:
    done = cli("login", "mima-1", "--user", "luigi", "--password-file", password_file(LUIGI), "--for", "90m")
    name, _, url = done.stdout.strip().removeprefix("export ").partition("=")
    assert (name, url.startswith("std-lockurl:file:///")) == ("SAMP_HUB", True)
    lock_file = Path(url.removeprefix("std-lockurl:file://"))
    with joined(lock_file) as client:
        assert client.hub.getMetadata(client.key, client.id)["hubfarm.user"] == "luigi"
        with SAMPIntegratedClient() as ours, SAMPIntegratedClient() as other:
            ours.connect(ticket=lock_file)
            other.connect(label="mima-1", ticket=read_lock_file(lock_file)["samp.secret"])
            table = cli("clients", "mima-1", env=os.environ | {"SAMP_HUB": url}).stdout
            assert table.split()[:6] == ["CLIENT", "USER", "GROUPS", "DOOR", "REGISTERED", "MESSAGES"]
            assert table.count("luigi  mima    standard") == 3
    (ticket,) = json.loads(cli("ticket", "ls", "--json").stdout)
    assert (ticket["user"], ticket["label"], ticket["program"]) == ("luigi", "mima-1", False)
    refused = cli("login", "mima-1", "--user", "anna", "--password-file", password_file(ANNA))
    assert (refused.returncode, "the user anna is none of them" in refused.stderr) == (1, True)
    for user in ("luigi", "nobody"):
        wrong = cli("login", "mima-1", "--user", user, "--password-file", password_file("wrong"))
        assert (wrong.returncode, wrong.stderr) == (1, "hubfarm: the user or the password is wrong\n")
    assert "write a time span" in cli("login", "mima-1", "--user", "luigi", "--for", "ever").stderr


def test_ticket_is_for_one_hub_also_if_two_have_the_same_secret(people: Farm) -> None:
    code = "from hubfarm.cli.sampy import main; import sys; sys.exit(main())"
    command = [sys.executable, "-c", code, "--multi", "-k", "chosen", "--access", "users", "-L", "ERROR"]
    with running(*command, "-l", "one") as one, running(*command, "-l", "two") as two:
        hubs = wait_for(lambda: [each for each in people.hubs() if each.alive][1:] and people.hubs(), "two hubs")
        assert len({hub.id for hub in hubs}) == 2
        secret = read_lock_file(ticket_of(people, people.find("one")))["samp.secret"]
        with ServerProxy(people.find("two").url) as proxy, pytest.raises(Fault, match="secret is wrong"):
            proxy.samp.hub.register(secret)
        with ServerProxy(people.find("one").url) as proxy:
            proxy.samp.hub.register(secret)
        for process in (one, two):
            process.terminate()
            process.wait(30)


def test_ticket_is_for_one_hub_and_ends_with_it(people: Farm, hub: HubInfo) -> None:
    (other,) = people.start(label="other", access="users")
    secret = read_lock_file(ticket_of(people, hub))["samp.secret"]
    with ServerProxy(other.url) as proxy, pytest.raises(Fault, match="secret is wrong"):
        proxy.samp.hub.register(secret)
    people.restart(["mima-1"])
    with ServerProxy(hub.url) as proxy:
        proxy.samp.hub.register(secret)
    people.stop(["mima-1"])
    assert people.tickets.all() == []
    with pytest.raises(HubfarmError, match=r"foreign|no running hub"):
        people.log_in("mima-1", user="luigi", password=LUIGI)


def test_exec_makes_a_ticket_that_ends_with_the_program_also_when_it_is_killed(
    people: Farm, hub: HubInfo, password_file: Callable[[str], str]
) -> None:
    command = [sys.executable, "-m", "hubfarm", "exec", "--user", "luigi", "--password-file", password_file(LUIGI)]
    command += ["mima-1", "--", "sh", "-c", "echo $SAMP_HUB; read line; exit 7"]
    for how, code in ((None, 7), (signal.SIGKILL, -signal.SIGKILL)):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
            assert program.stdin is not None
            assert program.stdout is not None
            url = program.stdout.readline().strip()
            lock_file = Path(url.removeprefix("std-lockurl:file://"))
            with joined(lock_file) as client:
                assert client.hub.getMetadata(client.key, client.id)["hubfarm.user"] == "luigi"
            if how is None:
                program.stdin.write("\n")
                program.stdin.flush()
            else:
                program.send_signal(how)
            assert program.wait() == code
        assert "secret is wrong" in refuses(lock_file)
        assert people.tickets.all() == []


def test_exec_reads_no_more_of_standard_input_than_the_password(hub: HubInfo, cli: RunCli) -> None:
    words = ["exec", "--user", "luigi", "--password-file", "-", "mima-1", "--", "cat"]
    done = cli(*words, stdin=None, input=f"{LUIGI}\nthe rest\n")
    assert (done.returncode, done.stdout) == (0, "the rest\n")
    assert "no terminal" in cli("exec", "--user", "luigi", "mima-1", "--", "cat").stderr


def test_open_hub_takes_tickets_and_passwords_too_and_says_who_is_who(people: Farm) -> None:
    (hub,) = people.start(label="open")
    with joined(ticket_of(people, hub)) as known, joined(hub.lock_file) as anybody:
        assert anybody.hub.getMetadata(anybody.key, known.id)["hubfarm.user"] == "luigi"
        assert "hubfarm.user" not in known.hub.getMetadata(known.key, anybody.id)


def test_guesser_on_many_connections_keeps_nobody_else_out_and_makes_the_hub_no_larger(
    people: Farm, hub: HubInfo
) -> None:
    secret = read_lock_file(hub.lock_file)["samp.secret"]
    over, guesses = threading.Event(), itertools.count(1)

    def guess(number: int) -> None:
        while not over.is_set():
            name = "anna" if number % 4 == 0 else f"user-{next(guesses)}"
            url = hub.url.replace("//", f"//{name}:guess-{next(guesses)}@")
            with contextlib.suppress(Fault, OSError, ProtocolError), ServerProxy(url) as proxy:
                proxy.samp.hub.register(secret)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(24)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: next(guesses) > 200, "the guesser is at it")
        for _ in range(3):
            with SAMPIntegratedClient() as client:
                client.connect(label="mima-1", user="luigi", password=LUIGI, timeout=PATIENCE)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    process = psutil.Process(hub.pid)
    wait_for(lambda: process.memory_info().rss < 60 * 2**20, "what four checks took is given back")


# ---------------------------------------------------------------------- the end of it


def test_revoked_ticket_lets_in_nobody_and_who_came_by_it_is_told_and_thrown_out(
    people: Farm, hub: HubInfo, cli: RunCli
) -> None:
    lock_file, kept = ticket_of(people, hub), ticket_of(people, hub)
    with joined(lock_file, "samp.hub.disconnect") as client, joined(kept) as other:
        assert cli("ticket", "revoke", people.tickets.all()[0].id[:6]).returncode == 0
        with pytest.raises(Fault, match="secret is wrong"):
            other.hub.register(read_lock_file(kept)["samp.secret"][:-1] + "x")
        told = client.next()
        assert told.params[2]["samp.mtype"] == "samp.hub.disconnect"
        assert "was revoked" in told.params[2]["samp.params"]["reason"]
        assert not is_in(client)
        assert is_in(other)
    assert not lock_file.exists()


def test_user_who_is_changed_loses_tickets_at_once_and_clients_only_if_so_asked(
    people: Farm, hub: HubInfo, cli: RunCli, password_file: Callable[[str], str]
) -> None:
    lock_file = ticket_of(people, hub)
    secret = read_lock_file(lock_file)["samp.secret"]
    with joined(lock_file) as by_ticket, SAMPIntegratedClient() as by_password:
        by_password.connect(label="mima-1", user="luigi", password=LUIGI)
        assert cli("user", "passwd", "luigi", "--password-file", password_file("new")).returncode == 0
        with pytest.raises(Fault, match="secret is wrong"):
            by_ticket.hub.register(secret)
        with pytest.raises(SAMPProxyError, match="is wrong"):
            SAMPIntegratedClient().connect(label="mima-1", user="luigi", password=LUIGI)
        with SAMPIntegratedClient() as again:
            again.connect(label="mima-1", user="luigi", password="new")
        assert is_in(by_ticket)
        by_password.ping()
        assert cli("user", "rm", "luigi", "--disconnect").returncode == 0
        wait_for(lambda: not is_in(by_ticket), "the client that came by ticket is out")
        with pytest.raises(SAMPProxyError, match="register first"):
            wait_for(lambda: by_password.get_registered_clients() == "", "the one that came by password is out")
    log = people.log_file("mima-1").read_text()
    assert "gone: the user luigi was disconnected" in log


def test_user_who_was_disconnected_may_come_again(people: Farm, hub: HubInfo, cli: RunCli) -> None:
    with joined(ticket_of(people, hub)) as client:
        cli("user", "disconnect", "luigi")
        wait_for(lambda: not is_in(client), "the client is out")
    with joined(ticket_of(people, hub)) as client, joined(ticket_of(people, hub)) as other:
        people.users.disconnect("anna")
        wait_for(lambda: people.users.content().disconnected.keys() == {"luigi", "anna"}, "anna was disconnected too")
        assert is_in(client)
        assert is_in(other)


# ---------------------------------------------------------------------- while it runs, and when it falls


def test_access_is_changed_while_the_hub_runs_and_survives_crash_restart_and_coordinator(
    people: Farm, cli: RunCli
) -> None:
    (hub,) = people.start(label="h", owner="anna")
    with joined(hub.lock_file, "samp.hub.disconnect") as stranger, joined(ticket_of(people, hub)) as luigi:
        assert "lets in everybody" in cli("access", "h").stdout
        done = cli("access", "h", "owner", "--allow", "user:luigi")
        assert done.stdout == "h is owner: it lets in its owner anna, user:luigi\n"
        assert not is_in(stranger)
        assert "this hub is for its owner anna" in stranger.next().params[2]["samp.params"]["reason"]
        assert is_in(luigi)
        for words, instead in (
            (["group"], "was started for no group; to let one in: hubfarm access h listed --allow group:NAME"),
            (["open", "--allow", "user:anna"], "to let in these alone: hubfarm access h listed --allow user:anna"),
            (["listed"], "say who is listed: hubfarm access h listed --allow user:NAME"),
        ):
            done = cli("access", "h", *words)
            assert (done.returncode, instead in done.stderr) == (2, True), done.stderr
        assert "hubfarm access h listed" in cli("access", "h", "--allow", "user:anna").stderr
        status = people.coordinator()
        assert status is not None
        for fall in ("the worker", "an ordered restart", "the worker, and then the coordinator"):
            before = people.find("h")
            assert before.pid is not None
            if fall == "an ordered restart":
                people.restart(["h"])
            else:
                if "coordinator" in fall:
                    os.kill(status["pid"], signal.SIGKILL)
                    people.start(label="another")  # which brings a coordinator that adopts the first hub
                os.kill(before.pid, signal.SIGKILL)
                restarted(people, before)
            assert "this hub is for its owner anna, user:luigi" in refuses(people.find("h").lock_file), fall
            assert is_in(luigi), fall
    people.stop(["h"])
    assert list(people.paths.journals.glob("*.changes")) == []


def test_hub_whose_restriction_cannot_be_read_lets_in_nobody(people: Farm) -> None:
    (hub,) = people.start(label="h")
    people.set_access("h", "users")
    (changes,) = people.paths.journals.glob("*.changes")
    changes.write_text("{}")
    assert hub.pid is not None
    os.kill(hub.pid, signal.SIGKILL)
    log = people.log_file("h")
    wait_for(lambda: "which is damaged" in log.read_text(), "the successor says why it cannot start")
    assert not [each for each in people.hubs() if each.state == "running"]


def test_ticket_of_a_login_that_was_under_way_when_its_user_went_lets_in_nobody(people: Farm) -> None:
    people.start(label="h", access="users")
    login = people.log_in("h", user="luigi", password=LUIGI)
    record = people.paths.tickets / f"{login.ticket.id}.ticket"
    kept, lock_file = record.read_bytes(), login.lock_file.read_bytes()
    people.users.remove("luigi")
    for path, content in ((record, kept), (login.lock_file, lock_file)):  # as if it had been written only now
        path.write_bytes(content)
        path.chmod(0o600)
    assert "the secret is wrong" in refuses(login.lock_file)


def test_damaged_users_file_lets_in_nobody_by_password_and_throws_out_nobody(people: Farm, hub: HubInfo) -> None:
    ticket = ticket_of(people, hub)
    whole = people.users.path.read_bytes()
    with joined(ticket) as inside:
        people.users.path.write_bytes(b"{")
        with pytest.raises(SAMPProxyError, match="passwords cannot be checked now"):
            SAMPIntegratedClient().connect(label="mima-1", user="luigi", password=LUIGI)
        with pytest.raises(HubfarmError, match="is damaged"):
            people.log_in("mima-1", user="luigi", password=LUIGI)
        log = people.log_file("mima-1")
        wait_for(lambda: "cannot tell who was disconnected" in log.read_text(), "the hub says so")
        assert is_in(inside)
        people.users.path.write_bytes(whole)
        with SAMPIntegratedClient() as client:
            client.connect(label="mima-1", user="luigi", password=LUIGI)
        assert is_in(inside)
    assert log.read_text().count("cannot tell who was disconnected") == 1


@pytest.mark.timeout(600)
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_killed_under_load_nobody_enters_who_may_not_and_nobody_is_asked_again(
    people: Farm, tls: bool, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hub,) = people.start(group="mima", access="group", tls=tls)
    if tls:  # what the standard library's clients believe
        monkeypatch.setenv("SSL_CERT_FILE", str(people.paths.tls / "ca.pem"))
    service = Service(tls=tls)
    pids = {hub.pid}
    with contextlib.ExitStack() as stack:
        talkers = [stack.enter_context(Talker(service)) for _ in range(4)]
        tickets = [ticket_of(people, hub) for _ in talkers]
        leaver = stack.enter_context(joined(ticket_of(people, hub)))
        for talker, lock_file in zip(talkers, tickets, strict=True):
            talker.join_by(lock_file, "talker", MTYPE)
        for talker in talkers:
            talker.start(hub.url, talkers)
        for kill in range(request.config.getoption("--kills")):
            accepted = sum(len(talker.sent.accepted) for talker in talkers)
            wait_for(
                lambda accepted=accepted: sum(len(each.sent.accepted) for each in talkers) > accepted + 200,
                "the talkers talk",
            )
            present = people.find("mima-1")
            assert present.pid is not None
            if not kill:
                people.tickets.revoke(people.tickets.all()[-1].id)  # the leaver's, who may not come back
            os.kill(present.pid, signal.SIGKILL)
            for _ in range(20):
                with contextlib.suppress(OSError):
                    assert "this hub is for the group mima" in refuses(hub.lock_file)
            pids.add(restarted(people, present).pid)
        for talker in talkers:
            talker.fall_silent()
        wait_for(lambda: account_for(talkers).settled, "all that was accepted has arrived")
        account = account_for(talkers)
        assert (account.lost, account.faults) == ([], [])
        wait_for(lambda: not is_in(leaver), "whose ticket was revoked is out")
        assert is_in(talkers[0])
        users = {talkers[0].hub.getMetadata(talkers[0].key, talker.id)["hubfarm.user"] for talker in talkers}
        assert users == {"luigi"}
        for talker in talkers:
            talker.leave()
    log = people.log_file("mima-1").read_text()
    assert log.count(": registered: the user luigi by the ticket") == 5
    assert len(pids) == request.config.getoption("--kills") + 1


# ---------------------------------------------------------------------- secrets


def test_no_password_and_no_ticket_is_told_to_anybody(
    people: Farm, cli: RunCli, password_file: Callable[[str], str], home: Path
) -> None:
    outputs = [cli("start", "--label", "h", "--access", "users", "--log-level", "TRACE", "--json")]
    hub = people.find("h")
    file = password_file(LUIGI)
    login = cli("login", "h", "--user", "luigi", "--password-file", file, "--json")
    outputs += [login, cli("login", "h", "--user", "luigi", "--password-file", password_file("a wrong one"))]
    lock_file = Path(json.loads(login.stdout)["SAMP_HUB"].removeprefix("std-lockurl:file://"))
    secret = read_lock_file(lock_file)["samp.secret"]
    basic = base64.b64encode(f"luigi:{LUIGI}".encode()).decode()
    live = [LUIGI, "a wrong one", secret, secret.partition("-")[2], basic]
    digests = [user.password for user in people.users.all()]
    with joined(lock_file) as client, SAMPIntegratedClient("ours") as ours:
        ours.connect(label="h", user="luigi", password=LUIGI)
        live += [client.key]
        for call in (
            lambda: SAMPIntegratedClient().connect(label="h", user="luigi", password="a wrong one"),
            lambda: client.hub.getMetadata(client.key, secret),
            lambda: client.hub.register(secret[:-1]),
        ):
            with pytest.raises((HubfarmError, Fault)):
                call()
        outputs += [
            cli("exec", "--user", "luigi", "--password-file", password_file(LUIGI), "h", "--", "env"),
            cli("ticket", "ls", "--json"),
            cli("user", "ls", "--json"),
            cli("ls", "--json"),
            cli("logs", "h", "-n", "10000"),
            cli("clients", "h", "-v", "--json", env=os.environ | {"SAMP_HUB": f"std-lockurl:file://{lock_file}"}),
            cli("access", "h", "--json"),
        ]
        found = in_processes(live + digests)
        found += leaks(json.dumps(people.coordinator()), "the control API", live + digests)
    for done in outputs:
        found += leaks(done.stdout + done.stderr, f"the output of {done.args}", live + digests)
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            private = path.stat().st_mode & 0o077 == 0
            assert private, path
            if path != lock_file and path.parent != people.paths.journals:
                found += leaks(path.read_bytes(), str(path), live + (digests if path != people.users.path else []))
    assert found == []
    assert hub.alive


def test_client_that_reconnects_shows_nothing_to_another_who_has_got_its_hubs_port(people: Farm) -> None:
    (hub,) = people.start(label="h", access="users")
    port = int(hub.url.split(":")[2].split("/")[0])
    with SAMPIntegratedClient("luigi's") as client:
        client.connect(label="h", user="luigi", password=LUIGI, reconnect=True)
        secret = read_lock_file(hub.lock_file)["samp.secret"].encode()
        people.stop(["h"])
        shown = b""
        with socket.create_server(("127.0.0.1", port)) as squatter, contextlib.suppress(TimeoutError):
            deadline = time.monotonic() + 3 * CHECK_EVERY
            while (left := deadline - time.monotonic()) > 0:
                squatter.settimeout(left)
                connection, _ = squatter.accept()
                with connection:
                    connection.settimeout(1)
                    shown += connection.recv(2**16)
        assert b"Authorization" not in shown
        assert b"samp.hub.register" not in shown
        assert secret not in shown
        people.start(label="h", access="users", port=port)
        wait_for(lambda: client.is_connected and is_known(client), "it is back once its hub is")


def is_known(client: SAMPIntegratedClient) -> bool:
    try:
        return "hub" in client.get_registered_clients()
    except HubfarmError:
        return False
