"""A hub elsewhere, here: what a message takes to it and from it, by ssh and by TLS, beside clients of its own host.

``python -m benchmarks.connect``.  Both hosts are this one, with a home each; ssh is the system's, with a key and an
sshd of the benchmark's own: so what is measured is what hubfarm, ssh and the kernel cost, and no network.
"""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click

from benchmarks.bridge import Client, latency, lock_file, rate, tokens
from benchmarks.nginx import nginx
from benchmarks.web import Program

COMMAND = [sys.executable, "-m", "hubfarm"]


def hubfarm(home: Path, *words: str) -> str:
    """Run hubfarm on one of the hosts."""
    done = subprocess.run([*COMMAND, *words], env=os.environ | {"HOME": str(home)}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout.strip()


@contextlib.contextmanager
def sshd(directory: Path) -> Iterator[list[str]]:
    """Run an sshd of our own; give what leads there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True)
    known = directory / "known"
    known.write_text(f"[127.0.0.1]:{port} {(directory / 'host.pub').read_text()}")
    (directory / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {directory}/host\nAuthorizedKeysFile {directory}/user.pub\n"
        "PidFile none\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
    )
    (directory / "config").write_text(
        f"Host *\n  Port {port}\n  IdentityFile {directory}/user\n  IdentitiesOnly yes\n  UserKnownHostsFile {known}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    command = ["/usr/sbin/sshd", "-D", "-e", "-f", str(directory / "sshd_config")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            time.sleep(1.0)
            yield ["--ssh", f"ssh -F {directory}/config"]
        finally:
            process.terminate()


def measured(senders: Path, receivers: Path, count: int, seconds: float) -> tuple[float, float]:
    """Measure one way once: latency in milliseconds, messages a second."""
    with nginx() as sink:
        program = Program(*tokens(receivers))
        receiver, sender = Client(receivers, "receiver", sink.url), Client(senders, "sender", sink.url)
        took, per_second = latency(sender, program.id, program, count), rate(sender, receiver.id, sink, seconds)
        for client in (program, receiver, sender):
            client.hub.unregister(client.key)
        program.server.shutdown()
        program.server.server_close()
    return took, per_second


@click.command()
@click.option("--rounds", default=3, show_default=True)
@click.option("--count", default=500, show_default=True, help="Messages of a round whose way is measured.")
@click.option("--seconds", default=8.0, show_default=True, help="How long messages are counted in a round.")
def main(rounds: int, count: int, seconds: float) -> None:
    """Measure a message to and from a hub elsewhere: by ssh, by TLS, and on the hub's own host."""
    os.environ |= {"SPT_NOENV": "1", "HUBFARM_WEB_PORT": "0"}
    os.environ.pop("SAMP_HUB", None)
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        here, there = Path(directory, "here"), Path(directory, "there")
        for home in (here, there):
            home.mkdir()
            stack.callback(hubfarm, home, "stop", "--all", "--coordinator", "-y")
        how = stack.enter_context(sshd(Path(directory)))
        hubfarm(there, "start", "--label", "plain")
        hubfarm(there, "start", "--label", "safe", "--tls")
        remote = f"env HOME={there} HUBFARM_WEB_PORT=0 {' '.join(COMMAND)}"
        hubfarm(here, "connect", "ssh://127.0.0.1/plain", "--label", "ssh", *how, "--remote-hubfarm", remote)
        hubfarm(here, "connect", str(lock_file(there, "safe")), "--label", "https")
        plain, ssh, https = lock_file(there, "plain"), lock_file(here, "ssh"), lock_file(here, "https")
        ways = {
            "on one host": (plain, plain),
            "ssh: there": (ssh, plain),
            "ssh: back": (plain, ssh),
            "ssh: there and back": (ssh, ssh),
            "TLS: there and back": (https, https),
        }
        figures: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, (senders, receivers) in ways.items():
                figures[way].append(measured(senders, receivers, count, seconds))
    print("| way | latency of a notify | notifies a second |\n| --- | ---: | ---: |")
    for way, rows in figures.items():
        took, per_second = (statistics.median(each) for each in zip(*rows, strict=True))
        print(f"| {way} | {took:.2f} ms | {per_second:,.0f} |")


if __name__ == "__main__":
    main()
