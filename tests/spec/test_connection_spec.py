"""Where a hub elsewhere is, what it is called, and how ssh is called for it."""

from pathlib import Path

import pytest

from hubfarm.samp.errors import WrongUse
from hubfarm.spec.connection_spec import ConnectionSpec, SshAddress, connection_name, ssh_address
from hubfarm.spec.ssh_command import first_ssh_command, ssh_command


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("ssh://obs/tel", SshAddress("obs", "tel")),
        ("ssh://Luigi@Obs-2:22/a%20b", SshAddress("Obs-2", "a b", "Luigi", 22)),
        ("ssh://u@[fe80::1%25eth0]/tel", SshAddress("fe80::1%eth0", "tel", "u")),
        ("https://obs/share/x", None),
        ("/home/x/.samp", None),
    ],
)
def test_address_is_read(address: str, found: SshAddress | None) -> None:
    assert ssh_address(address) == found


@pytest.mark.parametrize(
    "address",
    [
        *("ssh:tel", "ssh://obs", "ssh://obs/", "ssh:///tel", "ssh://obs:x/tel", "ssh://obs:99999/tel"),
        *("ssh://u:p@obs/tel", "ssh://obs/a/b", "ssh://obs/tel?x", "ssh://obs/tel#x", "ssh://obs/12", "ssh://[/tel"),
        *("ssh://-oProxyCommand=x/tel", "ssh://-l@obs/tel", "ssh://o%20bs/tel", "ssh://a b/tel"),
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(WrongUse):
        ssh_address(address)


def test_names() -> None:
    assert connection_name("tel@obs.example.org") == "tel-obs-example-org"
    assert connection_name("@") == "connection"
    for wrong in ({"name": "a/b"}, {"label": "a/b"}, {"ssh": ()}, {"remote_hubfarm": ""}, {"address": "ssh://x"}):
        with pytest.raises(WrongUse):
            ConnectionSpec(**({"name": "a", "label": "a@b", "address": "ssh://b/a"} | wrong))  # type: ignore[arg-type]


def test_ssh_asks_nobody_but_in_the_terminal() -> None:
    address = SshAddress("obs", "a b", "u", 2222)
    spec = ConnectionSpec(name="a", label="a@b", address="ssh://u@obs:2222/a%20b", ssh=("ssh", "-J", "gate"))
    master = Path("/x %/m.ssh")
    command = ssh_command(spec, address, master)
    assert command[:3] == ["ssh", "-J", "gate"]
    assert command[-4:] == ["-p", "2222", "u@obs", "exec hubfarm line 'a b'"]
    assert "BatchMode=yes" in command
    assert 'ControlPath="/x %%/m.ssh"' in command
    first = first_ssh_command(spec, address, master)
    assert "BatchMode=yes" not in first
    assert first[-1] == "true"
    assert ssh_command(spec, address, master, control="exit")[-5:] == ["-O", "exit", "-p", "2222", "u@obs"]
    assert not [word for word in ssh_command(spec, address, Path("/" + "x" * 100)) if word.startswith("ControlPath")]
