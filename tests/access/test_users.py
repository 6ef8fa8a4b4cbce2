"""The users file: private, whole, and changed by one at a time; passwords in it only as argon2id has them."""

import json
import os
import threading
import time
from pathlib import Path

import pytest
from argon2.exceptions import HashingError, VerificationError

from hubfarm.access.authenticators import FileAuthenticator, Identity
from hubfarm.access.passwords import is_right
from hubfarm.access.users import User, Users
from hubfarm.samp.errors import HubfarmError, WrongUse


@pytest.fixture
def users(tmp_path: Path) -> Users:
    return Users(tmp_path / "users")


def test_file_is_private_and_holds_no_password(users: Users) -> None:
    users.add("luigi", "a password: with a colon", groups=["mima", "mima", "oact"], admin=True)
    assert users.path.stat().st_mode & 0o777 == 0o600
    text = users.path.read_text()
    assert "a password" not in text
    (kept,) = json.loads(text)["users"]
    assert kept["password"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert kept["groups"] == ["mima", "oact"]
    assert "argon2" not in repr(users.all())


def test_authenticator_knows_right_from_wrong(users: Users) -> None:
    users.add("luigi", "right: one", groups=["mima"])
    ask = FileAuthenticator(users).authenticate
    assert ask("luigi", "right: one") == Identity(user="luigi", groups=("mima",))
    for user, password in (
        ("luigi", "right"),
        ("luigi", ""),
        ("luigi", "x" * 10**6),
        ("nobody", "right: one"),
        ("", ""),
    ):
        assert ask(user, password) is None


def test_unknown_user_takes_as_long_as_a_wrong_password(users: Users) -> None:
    users.add("luigi", "right")
    ask = FileAuthenticator(users).authenticate

    def best_of(user: str) -> float:
        times = []
        for _ in range(7):
            begun = time.thread_time()
            assert ask(user, "wrong") is None
            times.append(time.thread_time() - begun)
        return min(times)

    best_of("nobody")
    known, unknown = best_of("luigi"), best_of("nobody")
    assert unknown == pytest.approx(known, rel=0.25)


def test_longest_password_counts_in_full_and_a_longer_one_is_never_right() -> None:
    with pytest.raises(WrongUse, match="1025 characters"):
        Users(Path("/nonexistent/users")).add("luigi", "x" * 1025)
    assert not is_right("x" * 2000, None)


def test_only_a_mismatch_is_a_wrong_password_and_all_else_is_an_error(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.add("luigi", "right")
    ask = FileAuthenticator(users).authenticate
    kept = users.path.read_text()
    for digest in ("", "$argon2id$", "plain", users.all()[0].password[:-10]):
        users.path.write_text(kept.replace(users.all()[0].password, digest))
        with pytest.raises(HubfarmError, match="the password of the user 'luigi' cannot be checked"):
            ask("luigi", "right")
        users.path.write_text(kept)
    monkeypatch.setattr("hubfarm.access.passwords._hasher", lambda: _WithoutMemory())
    for user in ("luigi", "nobody"):
        with pytest.raises(HubfarmError, match=f"{user}' cannot be checked: Memory allocation error"):
            ask(user, "right")


class _WithoutMemory:
    """argon2 where there is no room for its 19 MiB."""

    def hash(self, password: str) -> str:
        raise HashingError("Memory allocation error")

    def verify(self, digest: str, password: str) -> bool:
        raise VerificationError("Memory allocation error")


@pytest.mark.parametrize("password", ["", "two\nlines", "\x1b"])
def test_password_that_nobody_can_type_is_refused_and_not_shown(users: Users, password: str) -> None:
    with pytest.raises(WrongUse) as caught:
        users.add("luigi", password)
    assert not password or password not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a:b", "a=b", " a", "a\nb", "x" * 101])
def test_name_that_cannot_be_is_refused(users: Users, name: str) -> None:
    with pytest.raises(WrongUse):
        users.add(name, "a password")


def test_add_twice_change_and_remove_whom_there_is_not_are_wrong_use(users: Users) -> None:
    with pytest.raises(WrongUse, match="hubfarm user add adds one"):
        users.remove("luigi")
    users.add("luigi", "a password")
    with pytest.raises(WrongUse, match="already"):
        users.add("luigi", "another")
    with pytest.raises(WrongUse, match="there are luigi"):
        users.change("anna", admin=True)


def test_each_change_raises_the_revision_and_disconnecting_notes_it(users: Users) -> None:
    users.add("luigi", "a password")
    users.change("luigi", groups=["mima"], disconnect=True)
    assert users.get("luigi") == User(name="luigi", groups=("mima",), password=users.all()[0].password)
    users.disconnect("known to PAM")
    users.remove("luigi")
    content = users.content()
    assert content.users == ()
    assert content.changed == {"luigi": content.revision, "known to PAM": content.disconnected["known to PAM"]}
    assert list(content.disconnected) == ["luigi", "known to PAM"]
    assert content.disconnected["luigi"] < content.disconnected["known to PAM"] < content.revision


def test_file_that_is_made_anew_goes_on_above_what_hubs_remember(users: Users) -> None:
    users.add("luigi", "a password")
    before = users.content().revision
    users.path.unlink()
    users.disconnect("luigi")
    assert users.content().disconnected["luigi"] > before


def test_changes_at_the_same_time_lose_nobody(users: Users) -> None:
    threads = [
        threading.Thread(target=Users(users.path).add, args=(f"user-{number}", "a password")) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [user.name for user in users.all()] == [f"user-{number}" for number in range(8)]


def test_what_others_may_read_or_is_damaged_is_refused_with_what_to_do(users: Users) -> None:
    users.add("luigi", "a password")
    os.chmod(users.path, 0o640)
    with pytest.raises(HubfarmError, match=f"chmod 600 {users.path}"):
        users.all()
    os.chmod(users.path, 0o600)
    users.path.write_text('{"version": 1, "users": [{}]}')
    with pytest.raises(HubfarmError, match="damaged"):
        users.all()
    users.path.write_text('{"version": 7}')
    with pytest.raises(HubfarmError, match="version 7"):
        users.all()
    users.path.unlink()
    users.path.symlink_to("/dev/null")
    with pytest.raises(HubfarmError):
        users.all()


def test_file_in_a_directory_where_others_could_replace_it_is_not_read(users: Users) -> None:
    users.add("luigi", "a password")
    users.path.parent.chmod(0o770)
    with pytest.raises(HubfarmError, match=f"chmod go-w {users.path.parent}"):
        Users(users.path).all()
    users.path.parent.chmod(0o700)
    assert [user.name for user in Users(users.path).all()] == ["luigi"]


def test_file_that_takes_its_place_just_as_it_is_read_is_judged_itself(
    users: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    users.add("luigi", "a password")
    assert users.all()
    os.utime(users.path)  # it is read anew
    status = users.path.lstat()

    def before(self: Path) -> os.stat_result:
        users.path.chmod(0o644)  # between the look at it and its opening
        return status

    monkeypatch.setattr(Path, "lstat", lambda self: before(self) if self == users.path else os.lstat(self))
    with pytest.raises(HubfarmError, match=f"chmod 600 {users.path}"):
        users.all()


def test_file_that_cannot_be_looked_at_is_an_error_and_no_empty_one(users: Users) -> None:
    with pytest.raises(HubfarmError, match=r"cannot read the users file .*: Not a directory"):
        Users(Path("/dev/null/users")).all()


def test_ten_thousand_users_are_read(users: Users) -> None:
    users.add("luigi", "a password")
    text = json.loads(users.path.read_text())
    text["users"] = [text["users"][0] | {"name": f"user-{number}"} for number in range(10_000)]
    users.path.write_text(json.dumps(text))
    assert FileAuthenticator(users).authenticate("user-9999", "a password") is not None
