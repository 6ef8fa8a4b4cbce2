"""The coordinator's settings: where they are looked for, what they may be, what is said when they are wrong."""

from pathlib import Path

import pytest

from hubfarm.registry.settings import Settings, load_settings, settings_path
from hubfarm.samp.errors import HubfarmError, WrongUse


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
        ("late_beats = 1", "late_beats is 1: it must be 2 or more"),
        ("late_beats = 2.5", "late_beats"),
        ('late_beats = "5"', "late_beats"),
        ("sweep_every = 0.5", "sweep_every is 0.5: it must be 1 or more"),
        ("sweep_every = nan", "sweep_every"),
        ('metrics = "9464"', "write ADDRESS:PORT"),
        ('metrics = ":9464"', "write ADDRESS:PORT"),
        ('metrics = "127.0.0.1:99999"', "write ADDRESS:PORT"),
        ("late_beast = 5", "late_beast"),
        (f"late_beats = {'[' * 100_000}", "recursion"),
        ('[programs]\naladin = "perhaps"', "perhaps"),
        ("programs = 1", "programs"),
        ("late_beats", "config.toml"),
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
