"""The coordinator's settings: where they are looked for, what they may be, what is said when they are wrong."""

import os
from pathlib import Path

import pytest

from hubfarm.registry.programs import Need
from hubfarm.registry.settings import Settings, load_settings, settings_path
from hubfarm.samp.errors import HubfarmError, WrongUse
from hubfarm.spec.limits import Limits


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"HOME": "/home/luigi"}, "/home/luigi/.config/hubfarm/config.toml"),
        ({"HOME": "/home/luigi", "XDG_CONFIG_HOME": "/etc/luigi"}, "/etc/luigi/hubfarm/config.toml"),
        ({"HOME": "/home/luigi", "XDG_CONFIG_HOME": ""}, "/home/luigi/.config/hubfarm/config.toml"),
        ({"HOME": "/home/luigi", "HUBFARM_CONFIG": "/srv/farm.toml"}, "/srv/farm.toml"),
    ],
)
def test_file_is_looked_for_where_the_environment_says(environ: dict[str, str], expected: str) -> None:
    assert settings_path(environ) == Path(expected)


def load(directory: Path, text: str) -> Settings:
    file = directory / "config.toml"
    file.write_text(text)
    return load_settings({"HUBFARM_CONFIG": str(file)})


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    assert load_settings({"HOME": str(tmp_path)}) == Settings(late_beats=5, sweep_every=60.0, metrics="")


def test_every_setting_can_be_set(tmp_path: Path) -> None:
    text = 'late_beats = 10\nsweep_every = 300\nmetrics = "127.0.0.1:9464"\n'
    assert load(tmp_path, text) == Settings(late_beats=10, sweep_every=300, metrics="127.0.0.1:9464")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# so\n\nlate_beats = 1", "line 3: late_beats is 1: it must be 2 or more"),
        ("late_beats = 2.5", "line 1: late_beats: expected a whole number, got a number"),
        ('late_beats = "5"', "line 1: late_beats: expected a whole number, got text"),
        ("sweep_every = 0.5", "sweep_every is 0.5: it must be 1 or more"),
        ("sweep_every = nan", "sweep_every"),
        ('metrics = "9464"', "write ADDRESS:PORT"),
        ('metrics = ":9464"', "write ADDRESS:PORT"),
        ('metrics = "127.0.0.1:99999"', "write ADDRESS:PORT"),
        ("late_beast = 5", "line 1: there is no setting 'late_beast': there are late_beats, sweep_every, metrics, "),
        ("[access]\nuser = 1", r"line 2: there is no setting 'user' in \[access\]: there are authenticator, users, "),
        ("limits = { client = 1 }", r"line 1: there is no setting 'client' in \[limits\]: there are body, head, "),
        ("[limits]\n\nclients = 0", "line 3: the limit clients is 0: it must be 1 or more"),
        ("[access]\nusers = 'here'", "line 2: access.users is 'here'"),
        ("late_beats = 5\nlate_beats = 6\n", "line 2: it is set twice: 'late_beats = 6'"),
        (f"late_beats = {'[' * 100_000}", "nests too deeply"),
        (
            '[programs]\naladin = "perhaps"',
            "line 2: aladin is 'perhaps': it must be one of nothing, java-home, home",
        ),
        ("programs = 1", "line 1: programs: expected a table, got a whole number"),
        ("late_beats", "config.toml: line 1: "),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(WrongUse, match=said) as raised:
        load(tmp_path, text)
    assert str(tmp_path / "config.toml") in str(raised.value)


def test_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match=f"HUBFARM_CONFIG names {tmp_path}/none"):
        load_settings({"HUBFARM_CONFIG": str(tmp_path / "none")})


def test_file_that_cannot_be_read_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(HubfarmError, match="Is a directory"):
        load_settings({"HUBFARM_CONFIG": str(tmp_path)})


# ---------------------------------------------------------------------- the administrator's


@pytest.fixture
def system(tmp_path: Path) -> Path:
    file = tmp_path / "system.toml"
    file.write_text(
        'late_beats = 9\nsweep_every = 30\n[limits]\nclients = 20\nqueue = 100\n[programs]\nours = "home"\n'
    )
    file.chmod(0o644)
    return file


def test_users_file_lies_above_the_administrators(tmp_path: Path, system: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('late_beats = 7\n[limits]\nclients = 50\n[programs]\nmine = "java-home"\n')
    settings = load_settings({"HUBFARM_CONFIG": str(file), "HUBFARM_SYSTEM_CONFIG": str(system)})
    assert (settings.late_beats, settings.sweep_every) == (7, 30)
    assert settings.limits == Limits(clients=50, queue=100)
    assert settings.programs == {"ours": Need.HOME, "mine": Need.JAVA_HOME}


def test_administrators_file_holds_alone_too(tmp_path: Path, system: Path) -> None:
    settings = load_settings({"HOME": str(tmp_path), "HUBFARM_SYSTEM_CONFIG": str(system)})
    assert (settings.late_beats, settings.limits.clients) == (9, 20)


def test_administrators_file_that_others_may_write_is_refused(tmp_path: Path, system: Path) -> None:
    system.chmod(0o664)
    with pytest.raises(HubfarmError, match="must be root's and writable by nobody else: chown root"):
        load_settings({"HOME": str(tmp_path), "HUBFARM_SYSTEM_CONFIG": str(system)})


@pytest.mark.skipif(os.getuid() != 0, reason="giving a file away takes root")
def test_administrators_file_of_another_account_is_refused(tmp_path: Path, system: Path) -> None:
    os.chown(system, 1234, -1)
    with pytest.raises(HubfarmError, match="must be root's"):
        load_settings({"HOME": str(tmp_path), "HUBFARM_SYSTEM_CONFIG": str(system)})


def test_what_is_wrong_in_the_administrators_file_is_said_of_that_one(tmp_path: Path, system: Path) -> None:
    system.write_text("late_beats = 1")
    with pytest.raises(WrongUse, match=f"{system}: line 1: late_beats is 1"):
        load_settings({"HOME": str(tmp_path), "HUBFARM_SYSTEM_CONFIG": str(system)})
