"""Secrets and private keys lie in lock files and journals, and nowhere else that others may look."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xmlrpc.client import Fault

import psutil
import pytest

from hubfarm import SAMPIntegratedClient
from hubfarm.farm import Farm
from hubfarm.registry.paths import Paths
from hubfarm.samp.toolkit import SAMPHubError
from tests.conftest import RunCli, processes_of
from tests.support import ROOT, Receiver, message, read_lock_file, wait_for

LAUNCHER = str(ROOT / "bin" / "sampy.py")


def files_for_everybody(paths: Paths) -> Iterator[Path]:
    """Yield every file below the home but those that are made to hold secrets, which are private."""
    for path in paths.home.rglob("*"):
        hold_secrets = (paths.journals, paths.wanted, paths.tickets, paths.tls)
        if (path.name.startswith("samp-hub") and path.parent == paths.lockdir) or path.parent in hold_secrets:
            assert path.stat().st_mode & 0o077 == 0
        elif path.is_file() and not path.is_symlink():
            yield path


def leaks(text: str | bytes, where: str, live: list[str]) -> list[str]:
    data = text.encode() if isinstance(text, str) else text
    return [where for secret in live if secret.encode() in data]


def in_processes(live: list[str]) -> list[str]:
    """Where the kernel shows a secret to other accounts, or a parent has handed it down."""
    found = []
    for pid in psutil.pids():
        for name in "cmdline", "comm", "environ":
            try:
                data = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            if pid != os.getpid():
                found += leaks(data, f"/proc/{pid}/{name}", live)
    return found


def err_in_every_way(client: Receiver) -> None:
    """Give the key where it does not belong, so that it might come back in an error."""
    key, hub = client.key, client.hub
    for call in (
        lambda: hub.getMetadata(key, key),
        lambda: hub.notify(key, key, message("test.it")),
        lambda: hub.notify(key, "hub", {"samp.mtype": key}),
        lambda: hub.reply(key, key, {}),
        lambda: hub.setXmlrpcCallback(key, key),
        lambda: hub.setXmlrpcCallback(key, f"http://{key}.invalid/"),
        lambda: hub.declareSubscriptions(key, {f"*{key}": {}}),
        lambda: hub.unregister(key, key),
        lambda: getattr(hub, f"x{key}")(key),
        lambda: hub.register(key),
    ):
        with pytest.raises(Fault):
            call()


class Blabber(Receiver):
    """A client whose callbacks fail, and name the key that they were called with."""

    def _dispatch(self, method: str, params: tuple[object, ...]) -> str:
        super()._dispatch(method, params)
        raise ValueError(f"{method}{params}")


def test_nothing_tells_a_secret_or_a_key(paths: Paths, farm: Farm, cli: RunCli) -> None:
    outputs = [cli("start", "--count", "2", "--label", "x", "--log-level", "TRACE")]
    outputs.append(cli("start", "--label", "json", "--json"))
    lock_files = sorted(paths.lockdir.glob("samp-hub-*"))
    live = [read_lock_file(path)["samp.secret"] for path in lock_files]
    with Receiver() as sender, Receiver() as listener, Blabber() as blabber:
        for client in sender, listener, blabber:
            client.join_by(lock_files[0], client.url, "test.*", "samp.hub.event.*")
            live.append(client.key)
        err_in_every_way(sender)
        sender.hub.notifyAll(sender.key, message("test.it"))
        sender.hub.callAll(sender.key, "tag", message("test.it"))
        listener.close_server()
        sender.hub.notifyAll(sender.key, message("test.it"))
        wait_for(lambda: "thrown out" in farm.log_file("x-1").read_text(), "the dead client is thrown out")

        status = farm.coordinator()
        assert status is not None
        os.kill(status["pid"], signal.SIGUSR1)
        log = paths.logs / "coordinator.log"
        wait_for(lambda: "settings: " in log.read_text(), "the coordinator dumps what it knows")

        hub = next(hub for hub in farm.hubs() if hub.label == "x-1")
        assert hub.pid is not None
        os.kill(hub.pid, signal.SIGKILL)
        wait_for(lambda: [each for each in farm.hubs() if each.restarts == 1], "the hub comes back")
        sender.hub.notifyAll(sender.key, message("test.it"))

        for words in (
            ["ls", "--all", "--json"],
            ["status", "--json"],
            ["history", "--json"],
            ["gc", "--dry-run"],
            ["exec", "x-1", "--", "env"],
            ["restart", "x-2", "--json"],
            ["start", "--label", "x-1"],
            ["stop", "nonsense"],
            ["logs", "x-1", "-n", "10000"],
        ):
            outputs.append(cli(*words))
        found = in_processes(live)
        for path in files_for_everybody(paths):
            found += leaks(path.read_bytes(), str(path), live)
        for done in outputs:
            found += leaks(done.stdout + done.stderr, f"the output of {done.args}", live)
        found += leaks(json.dumps(status), "the control API", live)
        assert found == []
        assert "(a key)" in farm.log_file("x-1").read_text()
        outputs.append(cli("stop", "--all", "--coordinator"))
    for path in paths.home.rglob("*"):
        if path.is_file() and not path.is_symlink():
            found += leaks(path.read_bytes(), f"{path}, after the farm's end", live)
    assert found == []


def test_secret_given_to_sampy_leaves_the_process_list(home: Path) -> None:
    secret = "a-secret-of-my-own"
    process = subprocess.Popen([sys.executable, LAUNCHER, "--secret", secret], stderr=subprocess.DEVNULL)
    try:
        wait_for((home / ".samp").exists, "the hub's lock file appears")
        assert in_processes([secret]) == []
        assert processes_of(home)
    finally:
        process.terminate()
        process.wait(30)


def test_nothing_tells_a_private_key_or_a_share(paths: Paths, farm: Farm, cli: RunCli) -> None:
    outputs = [cli("start", "--label", "safe", "--tls", "--log-level", "TRACE", "--json")]
    share = json.loads(cli("share", "safe", "--with", "anna", "--json").stdout)
    secret = share["SAMP_HUB"].partition("/share/")[2].partition("#")[0]
    keys = [path.read_text() for path in (paths.tls / "ca-key.pem", paths.tls / "hub.pem")]
    lines = [re.search(r"BEGIN PRIVATE KEY-----\n(.{40})", key) for key in keys]
    live = [secret, secret.partition("-")[2], *(found[1] for found in lines if found)]
    assert len(live) == 4
    with SAMPIntegratedClient("by share") as client:
        client.connect(share["SAMP_HUB"])
        live.append(str(client.get_private_key()))
        with pytest.raises(SAMPHubError):
            SAMPIntegratedClient().connect(share["SAMP_HUB"].replace(secret, secret[:-4] + "beef"))
        with pytest.raises(SAMPHubError):
            SAMPIntegratedClient().connect(share["SAMP_HUB"].replace("share/", "shares/"))
        for path in (paths.tls / "hub.pem", paths.tls / "ca.pem"):
            os.utime(path)  # it is looked at anew
        wait_for(lambda: "took the certificate" in farm.log_file("safe").read_text(), "the certificate is taken anew")
        for words in (
            ["ls", "--json"],
            ["ticket", "ls", "--json"],
            ["status", "safe", "--json"],
            ["clients", "safe", "-v", "--json"],
            ["logs", "safe", "-n", "10000"],
            ["exec", "safe", "--", "env"],
            ["gc", "--dry-run"],
        ):
            outputs.append(cli(*words))
        found = in_processes(live)
        for file in files_for_everybody(paths):
            found += leaks(file.read_bytes(), str(file), live)
        for done in outputs:
            assert done.returncode == 0, done.stderr
            found += leaks(done.stdout + done.stderr, f"the output of {done.args}", live)
        assert found == []
