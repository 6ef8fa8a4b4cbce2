"""What others may do to the files that say who may enter."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from xmlrpc.client import Fault

import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.client.errors import SAMPProxyError
from hubfarm.registry.listing import HubInfo
from hubfarm.samp.errors import HubfarmError
from tests.faults.conftest import Scene, full_disk
from tests.faults.test_files import replace_by_symlink, truncate, write_rubbish
from tests.support import Receiver, read_lock_file, wait_for

PASSWORD = "of luigi: 1"


def open_to_others(path: Path) -> None:
    path.chmod(0o644)


def replace_by_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.fixture
def people(scene: Scene) -> Scene:
    """The user luigi, and hubs for users alone."""
    scene.farm.users.add("luigi", PASSWORD)
    scene.start(access="users")  # type: ignore[arg-type]
    return scene


def enters_by_password(hub: HubInfo) -> bool:
    try:
        with SAMPIntegratedClient() as client:
            client.connect(hub.lock_file, user="luigi", password=PASSWORD)
    except SAMPProxyError:
        return False
    return True


def is_in(client: Receiver) -> bool:
    try:
        client.hub.getRegisteredClients(client.key)
    except Fault:
        return False
    return True


def beats_twice(scene: Scene) -> None:
    before = scene.beats()
    wait_for(lambda: scene.beats() > before + 2 * len(scene.hubs) + 7, "the hubs have looked around")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(
            Path.unlink, marks=pytest.mark.fault("users file deleted", "no password lets in; who is in stays")
        ),
        pytest.param(truncate, marks=pytest.mark.fault("users file truncated", "the same")),
        pytest.param(write_rubbish, marks=pytest.mark.fault("users file replaced by rubbish", "the same")),
        pytest.param(
            replace_by_symlink,
            marks=pytest.mark.fault("users file replaced by a symlink", "the same; what it points to stays"),
        ),
        pytest.param(replace_by_socket, marks=pytest.mark.fault("users file replaced by a socket", "the same")),
        pytest.param(open_to_others, marks=pytest.mark.fault("users file made readable for others", "the same")),
    ],
)
def test_damaged_users_file_lets_in_nobody_and_throws_out_nobody(
    people: Scene, home: Path, damage: Callable[[Path], None]
) -> None:
    hub, users = people.hubs[0], people.farm.paths.users
    whole = users.read_bytes()
    ticket = people.farm.log_in(hub.name, user="luigi", password=PASSWORD).lock_file
    with Receiver() as inside:
        inside.join_by(ticket)
        people.measure(lambda: damage(users), lambda: not enters_by_password(hub), lambda: True)
        with pytest.raises(HubfarmError, match=r"users file|is wrong"):
            people.farm.log_in(hub.name, user="luigi", password=PASSWORD)
        beats_twice(people)
        assert is_in(inside)
        users.unlink(missing_ok=True)
        users.write_bytes(whole)
        users.chmod(0o600)
        assert enters_by_password(hub)
        assert is_in(inside)
    victim = people.farm.paths.runtime.parent / "precious"
    assert not victim.exists() or victim.read_text() == "precious"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(Path.unlink, marks=pytest.mark.fault("a ticket deleted", "who came in by it is thrown out")),
        pytest.param(truncate, marks=pytest.mark.fault("a ticket truncated", "the same")),
        pytest.param(write_rubbish, marks=pytest.mark.fault("a ticket replaced by rubbish", "the same")),
        pytest.param(replace_by_symlink, marks=pytest.mark.fault("a ticket replaced by a symlink", "the same")),
    ],
)
def test_damaged_ticket_ends_and_others_go_on(people: Scene, damage: Callable[[Path], None]) -> None:
    hub, farm = people.hubs[0], people.farm
    logins = [farm.log_in(hub.name, user="luigi", password=PASSWORD) for _ in range(2)]
    record = farm.paths.tickets / f"{logins[0].ticket.id}.ticket"
    with Receiver() as victim, Receiver() as bystander:
        victim.join_by(logins[0].lock_file)
        bystander.join_by(logins[1].lock_file)
        people.measure(lambda: damage(record), lambda: not is_in(victim), lambda: True)
        with pytest.raises(Fault, match="secret is wrong"):
            victim.hub.register(read_lock_file(logins[0].lock_file)["samp.secret"])
        assert is_in(bystander)
        assert farm.tickets.all() == [logins[1].ticket]
    farm.gc()
    assert not record.exists() or record.is_symlink()


@pytest.mark.fault("directory of the tickets deleted", "who came in by one is thrown out; new ones are made")
def test_directory_of_tickets_deleted(people: Scene) -> None:
    hub, farm = people.hubs[0], people.farm
    ticket = farm.log_in(hub.name, user="luigi", password=PASSWORD).lock_file
    with Receiver() as inside:
        inside.join_by(ticket)

        def remove() -> None:
            for path in farm.paths.tickets.iterdir():
                path.unlink()
            farm.paths.tickets.rmdir()

        people.measure(remove, lambda: not is_in(inside), lambda: True)
        inside.join_by(farm.log_in(hub.name, user="luigi", password=PASSWORD).lock_file)


@pytest.mark.fault("disk full while users and tickets are written", "one line; nothing is lost, and nothing half made")
def test_users_and_tickets_on_a_full_disk(small_disk: Path, people: Scene) -> None:
    hub, farm = people.hubs[0], people.farm
    login = farm.log_in(hub.name, user="luigi", password=PASSWORD)
    before = farm.paths.users.read_bytes()
    with Receiver() as inside:
        inside.join_by(login.lock_file)
        with full_disk(small_disk):
            for work in (
                lambda: farm.users.add("anna", "of anna", groups=["x" * 90] * 60),
                lambda: farm.users.change("luigi", password="another"),
                lambda: farm.log_in(hub.name, user="luigi", password=PASSWORD),
            ):
                with pytest.raises(HubfarmError, match="No space left on device"):
                    work()
            beats_twice(people)
            assert is_in(inside)
            assert enters_by_password(hub)
            begun = time.perf_counter()
        assert farm.paths.users.read_bytes() == before
        assert farm.tickets.all() == [login.ticket]
        assert {path.name.partition(".")[0] for path in farm.paths.tickets.iterdir()} == {login.ticket.id}
        assert not [path for path in os.listdir(farm.paths.runtime) if path.startswith(".new-")]
        farm.users.add("anna", "of anna")
        people.figures.served.append(time.perf_counter() - begun)
        assert is_in(inside)
