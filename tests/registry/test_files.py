"""Small private files and links: written whole, read with care; and what lock files say of their hubs."""

import os
import socket
import stat
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubfarm.registry import files
from hubfarm.registry.entry import Entry, Standing, check_url, guard_named_in, label_of, name_in
from hubfarm.registry.files import (
    identity_of,
    lasting_identity,
    lstat_or_none,
    point,
    points_to,
    read_private,
    write_private,
)
from hubfarm.registry.select import HubNames
from hubfarm.registry.statetable import HubName
from hubfarm.registry.unix_socket import UnixSocket, peer_account, peer_process, process_that_listens
from hubfarm.samp.errors import BadLockFile, HubfarmError
from tests.support import PATIENCE, ROOT, running


def test_file_is_written_whole_private_and_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / ".samp"
    old = os.umask(0)
    try:
        write_private(path, "a=größe\n")
        write_private(path, "b\r\n")
    finally:
        os.umask(old)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"b\r\n", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == [".samp"]
    assert read_private(path) == "b\r\n"


def test_text_is_written_in_utf8_whatever_the_locale(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from hubfarm.registry.files import write_private;"
        "write_private(Path(sys.argv[1]), 'owner=gr\\xf6\\xdfe')"
    )
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", program, tmp_path / "x"], env=os.environ | plain, cwd=ROOT, check=True)
    assert (tmp_path / "x").read_bytes() == "owner=größe".encode()


def test_name_that_it_is_written_under_first_is_no_hubs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: list[tuple[str, str]] = []

    def replace(source: Path, target: Path) -> None:
        replaced.append((source.name, target.name))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", replace)
    for name in ("samp-hub-1-1", ".samp"):
        with pytest.raises(HubfarmError, match=rf"^cannot write {tmp_path / name}: No space left on device$"):
            write_private(tmp_path / name, "x")
    with pytest.raises(HubfarmError, match=rf"^cannot write the stable name {tmp_path}/x: No space left on device$"):
        point(tmp_path / "x", tmp_path)
    assert replaced == [(".new-samp-hub-1-1", "samp-hub-1-1"), (".new-samp", ".samp"), (".new-x", "x")]
    assert list(tmp_path.iterdir()) == []


def test_what_lies_under_that_name_already_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".new-x").symlink_to(tmp_path / "victim")
    write_private(tmp_path / "x", "text")
    assert (tmp_path / "x").read_text() == "text"
    assert not (tmp_path / "victim").exists()


def test_only_a_small_regular_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"x" * 10)
    assert read_private(path, most=10) == "x" * 10
    with pytest.raises(BadLockFile, match=r"^larger than 9 bytes$"):
        read_private(path, most=9)
    path.write_bytes(b"x" * 65537)
    with pytest.raises(BadLockFile, match=r"^larger than 65536 bytes$"):
        read_private(path)
    path.write_bytes("größe".encode("latin-1"))
    assert read_private(path) == "größe"
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        read_private(link)
    assert read_private(link, follow=True) == "größe"
    os.mkfifo(tmp_path / "fifo")
    for each in (tmp_path, tmp_path / "fifo"):
        with pytest.raises(BadLockFile, match=r"^not a regular file$"):
            read_private(each)
    before = len(os.listdir("/proc/self/fd"))
    for each in (path, tmp_path):
        with pytest.raises(BadLockFile):
            read_private(each, most=1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_file_is_told_from_another_that_took_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert (identity_of(path), lasting_identity(path), lstat_or_none(path)) == (None, "", None)
    assert lstat_or_none(Path("a\0b")) is None
    path.write_text("")
    first, lasting = identity_of(path), lasting_identity(path)
    assert first == (path.stat().st_dev, path.stat().st_ino)
    assert lasting == f"{path.stat().st_ino}:{path.stat().st_mtime_ns}"
    (tmp_path / "y").write_text("")
    os.replace(tmp_path / "y", path)
    assert identity_of(path) not in (first, None)
    assert lasting_identity(path) != lasting


def test_link_leads_where_it_was_pointed_last(tmp_path: Path) -> None:
    link, one, other = (tmp_path / name for name in ("link", "one", "other"))
    assert not points_to(link, one)
    point(link, one)
    assert points_to(link, one)
    point(link, other)
    assert (points_to(link, one), points_to(link, other)) == (False, True)
    one.write_text("")
    assert not points_to(one, one)


def test_socket_lies_where_it_is_said_for_its_user_alone_and_is_known_again(tmp_path: Path) -> None:
    place = UnixSocket(tmp_path / "s", "control socket")
    assert not place.is_in_place()
    place.path.write_text("in the way")
    with place.listen() as sock:
        assert stat.S_IMODE(place.path.lstat().st_mode) == 0o600
        assert stat.S_ISSOCK(place.path.lstat().st_mode)
        assert not sock.getblocking()
        assert place.is_in_place()
        place.path.rename(tmp_path / "moved")
        assert not place.is_in_place()
        place.path.write_text("another's")
        place.remove()
        assert place.path.exists()
        (tmp_path / "moved").rename(place.path)
        assert not place.is_in_place(), "it was given up"
    with place.listen():
        place.remove()
        assert not place.path.exists()
        place.remove()
    with pytest.raises(
        HubfarmError, match=rf"^cannot make the log socket {tmp_path}/none/s: No such file or directory$"
    ):
        UnixSocket(tmp_path / "none" / "s", "log socket").listen()


NOBODY = 65534

_ASK_AS_NOBODY = f"""
import os, socket, sys
os.setgroups([]), os.setgid({NOBODY}), os.setuid({NOBODY})
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.recv(1)
"""


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED") or os.getuid() != 0, reason="as root, on Linux, there are two")
def test_who_is_at_the_other_end_is_told_by_the_kernel(home: Path) -> None:
    home.chmod(0o711)
    place = UnixSocket(home / "s", "socket")
    with place.listen() as listener:
        listener.settimeout(PATIENCE)
        assert process_that_listens(place.path) == os.getpid()
        with listener.accept()[0] as connection:
            assert (peer_process(connection), peer_account(connection)) == (os.getpid(), 0)
        place.path.chmod(0o777)
        with (
            running(sys.executable, "-c", _ASK_AS_NOBODY, str(place.path)) as process,
            listener.accept()[0] as connection,
        ):
            assert (peer_process(connection), peer_account(connection)) == (process.pid, NOBODY)
    assert process_that_listens(place.path) is None


def test_macos_is_asked_for_the_process_in_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    class Connection:
        """As much of a socket as is asked; xnu's bsd/sys/un.h: LOCAL_PEERPID at the level SOL_LOCAL."""

        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            return {(0, 2, 4): struct.pack("i", 4711)}[level, option, size]

    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    connection: Any = Connection()
    assert (peer_process(connection), peer_account(connection)) == (4711, None)


# ---------------------------------------------------------------------- what a lock file says


def test_hub_is_called_what_its_lock_file_says_in_either_spelling() -> None:
    ours = {"samp.hub.label": "l", "samp.hub.owner": "o", "samp.hub.owner_group": "g"}
    theirs = {"hub.label": "l", "hub.owner.name": "o", "hub.owner.group": "g"}
    for tokens in (ours, theirs, theirs | ours, {**ours, **dict.fromkeys(theirs, "other")}):
        entry = Entry(Path("/x"), HubName(1, 2), Standing.ALIVE, tokens)
        assert (entry.label, entry.owner, entry.group) == ("l", "o", "g")
    assert label_of({"samp.hub.label": "", "hub.label": "x"}) == "x"
    nameless = Entry(Path("/x"), None, Standing.FOREIGN, {})
    assert (nameless.label, nameless.owner, nameless.group, nameless.url, nameless.guard) == ("", "", "", "", None)
    assert nameless.names == HubNames("", "", "", None, Path("/x"), foreign=True)
    assert entry.names == HubNames("l", "o", "g", HubName(1, 2), Path("/x"), foreign=False)


def test_guard_and_name_are_those_of_the_tokens() -> None:
    assert guard_named_in({"hubfarm.guard": "/a%20b/%FF"}) == Path(os.fsdecode(b"/a b/\xff"))
    assert guard_named_in({"hubfarm.guard": ""}) is None
    assert name_in({"hubfarm.pid": "4711", "hubfarm.id": "2"}) == HubName(4711, 2)
    for tokens in (
        {},
        {"hubfarm.pid": "4711"},
        {"hubfarm.pid": "x", "hubfarm.id": "2"},
        {"hubfarm.pid": "", "hubfarm.id": ""},
    ):
        assert name_in(tokens) is None


@pytest.mark.parametrize("url", ["", "x", "http://", "http://:80/", "http://host:0/", "http://host:x/", "http://[::1/"])
def test_url_that_names_no_host_is_none_of_a_hub(url: str) -> None:
    with pytest.raises(BadLockFile) as error:
        check_url(url)
    assert str(error.value) == f"the URL in the lock file is none of a hub: {url!r}"
    check_url("http://127.0.0.1:9/")
    check_url("http://host")
