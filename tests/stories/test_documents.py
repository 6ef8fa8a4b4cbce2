"""What the documents tell people to type is typed, line by line, in a shell on a terminal, in a home of its own.

Before each block nothing runs, or, if it starts no hub itself, four hubs of the group mima.  Prompts are answered, and
what goes on until somebody ends it is ended.  Lines that are not typed are in `NOT_TYPED`, with the reason.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from hubfarm.farm import Farm, unit
from tests.support import ROOT, Receiver

PAGES = ("README.md", "docs/howto.md", "docs/access.md", "docs/clients.md")

NOT_TYPED = {
    r"^sudo ": "it changes the host: tests/farm/test_host.py and test_unit.py do it in a place of their own",
    r"\bpip (un)?install\b|\btox\b": "it makes environments: tox -e package does it",
    r"^loginctl ": "it takes systemd",
    r"\bjsamp\b": "tests/interop/test_readme.py types it",
    r"zsh_source|fish_source": "other shells",
    r"^ln -s ": "it takes jq",
    r"mima/night": "another account types it: tests/stories/test_shared_hubs.py",
    r"account:anna": "it names accounts of the host: tests/stories/test_accounts.py",
    r"--host 0\.0\.0\.0|^hubfarm share ": "it opens a hub to other hosts",
    r"ssh://": "it takes another host: tests/interop/test_connections.py has one",
    r"as_astropy_samp": "it stands for programs of the reader's: tests/dropin",
    r"^hubfarm load ": "it takes the reader's file, and TOPCAT: tests/interop/test_client_matrix.py",
}

STAND_INS = ("topcat", "ds9")
"""Programs with windows: tests/interop has the true ones.  Here a script looks whether it is led to a hub."""

PASSWORD = "a password"

ANSWERS = {
    r"^hubfarm top": ("hubs, by", "q", 0),
    r"--watch": ("Ctrl-C ends", "\x03", 130),
    r"^hubfarm snoop": ("listening on", "\x03", 130),
    r"^hubfarm trace mima-2( --params)?$": ("watching ", "\x03", 130),
    r"^sampy\.py": ("serving at", "\x03", 0),
    r"hubfarm choose": ("Which hub", "\r", 0),
    r"^hubfarm uninstall --stop": ("remove this", "y\r", 0),
}
"""By the line: what is waited for, what is typed then, and how it ends."""

FAILS = {r"--user anna night": 1}
"""Lines that are told to fail, and how."""


def blocks(page: str) -> list[list[str]]:
    """Return the lines of each block of shell commands, those that go on joined, without comments."""
    found = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    joined = [block.replace("\\\n", " ").splitlines() for block in found]
    return [[line for raw in block if (line := re.sub(r"(^|\s+)#.*", "", raw).strip())] for block in joined]


def reason_not_to(line: str) -> str:
    return next((why for pattern, why in NOT_TYPED.items() if re.search(pattern, line)), "")


class Shell:
    """bash on a terminal."""

    def __init__(self, home: Path) -> None:
        self._bash = pexpect.spawn(
            "bash",
            ["--norc", "--noprofile"],
            env={**os.environ, "PS1": "[end $?]", "TERM": "xterm"},
            cwd=str(home),
            dimensions=(40, 120),
            encoding="utf-8",
            timeout=60,
        )
        self._bash.expect_exact("[end 0]")

    def type(self, line: str) -> tuple[int, str]:
        """Type a line, answer what it asks, and return its exit code and what was to be seen."""
        awaited, typed, _ = next((each for pattern, each in ANSWERS.items() if re.search(pattern, line)), ("", "", 0))
        self._bash.sendline(line)
        seen = ""
        while True:
            asked = [
                r"\[end (\d+)\]",
                "Password of [^:]*: ",
                "Repeat for confirmation: ",
                *([awaited] if awaited else []),
            ]
            match self._bash.expect(asked):
                case 0:
                    return int(self._bash.match[1]), seen + self._bash.before
                case 1 | 2:
                    self._bash.sendline(PASSWORD)
                case 3:
                    self._bash.send(typed)
                    awaited = ""
            seen += self._bash.before + self._bash.after

    def close(self) -> None:
        self._bash.close(force=True)


@pytest.fixture
def shell(home: Path, farm: Farm, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    programs = home / "programs"
    programs.mkdir()
    for name in STAND_INS:
        script = programs / name
        script.write_text('#!/bin/sh\nexec grep -q samp.secret "${SAMP_HUB#std-lockurl:file://}"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}")
    (declared,) = re.findall(r"```toml\n(# farm.toml\n.*?)```", (ROOT / "docs/howto.md").read_text(), re.DOTALL)
    (home / "farm.toml").write_text(declared)
    one = Shell(home)
    yield one
    one.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_tells_to_type_works(page: str, shell: Shell, farm: Farm, receiver: Receiver) -> None:
    for block in blocks(page):
        lines = [line for line in block if not reason_not_to(line) and not (unit.RUNS.is_dir() and " service " in line)]
        if not lines:
            continue
        shell.type("unset SAMP_HUB; wait")
        Farm().stop(everything=True, coordinator=True)
        if not any("hubfarm start" in line or "hubfarm up" in line for line in lines):
            Farm().start(count=4, group="mima")
        if any(line.startswith("hubfarm send mima-2 coord.pointAt.sky") for line in lines):
            receiver.join_by(farm.find("mima-2").lock_file, "TOPCAT", "coord.pointAt.sky")
        for line in lines:
            code, seen = shell.type(line)
            answered = next((how for pattern, (_, _, how) in ANSWERS.items() if re.search(pattern, line)), 0)
            expected = next((how for pattern, how in FAILS.items() if re.search(pattern, line)), answered)
            assert code == expected, f"{page}: {line}\n{seen}"
            assert "Traceback" not in seen, f"{page}: {line}\n{seen}"


def test_no_reason_is_left_over() -> None:
    lines = [line for page in PAGES for block in blocks(page) for line in block]
    for pattern in (*NOT_TYPED, *ANSWERS, *FAILS):
        assert any(re.search(pattern, line) for line in lines), f"no line is so: {pattern}"
