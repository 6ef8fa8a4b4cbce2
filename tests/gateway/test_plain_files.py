"""Files are opened as they were meant, whatever others have put on the way."""

import os
from pathlib import Path

import pytest

from hubfarm.gateway.plain_files import NoPlainFile, open_plain, path_in


def read(path: Path, uid: int | None = None) -> bytes:
    descriptor = open_plain(str(path), uid)
    try:
        return os.read(descriptor, 100)
    finally:
        os.close(descriptor)


def test_a_file_is_read_also_by_ones_own_links(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "table.xml").write_bytes(b"table")
    (tmp_path / "here").symlink_to("data")
    (tmp_path / "there").symlink_to(tmp_path / "here")
    (tmp_path / "up").symlink_to("here/../data/table.xml")
    assert read(tmp_path / "data" / "table.xml") == b"table"
    assert read(tmp_path / "there" / "table.xml") == b"table"
    assert read(tmp_path / "up") == b"table"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a link to another account takes root")
def test_a_link_that_another_account_has_put_there_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "planted").symlink_to(tmp_path / "secret")
    os.lchown(tmp_path / "planted", 65534, 65534)
    with pytest.raises(NoPlainFile, match="another account"):
        read(tmp_path / "planted")
    assert read(tmp_path / "planted", uid=65534) == b"secret"


def test_what_is_no_regular_file_is_none_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(NoPlainFile, match="regular"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nothing")


def test_links_that_go_round_end(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        read(tmp_path / "one")


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read(tmp_path / "x")
        with pytest.raises(OSError, match="No such"):
            read(tmp_path / "nothing" / "below")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("file:///tmp/x", "/tmp/x"),
        ("FILE://localhost/tmp/x", "/tmp/x"),
        ("file:/tmp/x", "/tmp/x"),
        ("file://here/tmp/x%23y", "/tmp/x#y"),
        ("file:///tmp/x#part", "/tmp/x"),
    ],
)
def test_paths_in_urls(url: str, path: str) -> None:
    assert path_in(url, "here") == path


@pytest.mark.parametrize(
    "url",
    [
        "file:///tmp/../etc/passwd",
        "file:///tmp/%2e%2e/etc/passwd",
        "file:///tmp/./x",
        "file://elsewhere/tmp/x",
        "file:relative",
        "file:///tmp/x%00.xml",
        "http://h/x",
        "file:",
    ],
)
def test_urls_that_lead_to_no_plain_file(url: str) -> None:
    with pytest.raises(NoPlainFile):
        path_in(url, "here")
