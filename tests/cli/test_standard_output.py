"""Where standard output is closed, full, or of an encoding with few characters."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from backends import Capability
from cli.command import EXECUTABLE, Command
from cli.shop import DECLARED, Shop
from eventsourcing_alchemy import DeadLetters
from factories import OpenFactory

pytestmark = [pytest.mark.needs(Capability.SHARED), pytest.mark.once]

NAME = "Läden \N{PILE OF POO}"
ESCAPED = r"Läden \U0001f4a9"
"""In Latin-1."""

PRINTING = [
    ("--help",),
    ("status",),
    ("events", "Shop", "--limit", "1000", "--json"),
]
"""Commands that print little, or more than a buffer holds."""


@pytest.fixture
def names(open_factory: OpenFactory) -> None:
    """An application and a projection with characters that few encodings have."""
    factory = open_factory(NAME)
    factory.application_recorder().insert_events([StoredEvent(uuid4(), 1, NAME, b"{}")])
    tracking = factory.tracking_recorder()
    DeadLetters(tracking).record(Tracking(NAME, 1), NAME, ValueError(NAME), 1)


@pytest.mark.usefixtures("names")
def test_characters_that_it_lacks(command_process: Command) -> None:
    command = command_process
    command.variables["PYTHONIOENCODING"] = "latin-1"
    for arguments in (("status",), ("dead-letters", "show", NAME, "1")):
        printed = _bytes(command, *arguments).decode("latin-1")
        assert ESCAPED in printed, arguments
    (event,) = json.loads(_bytes(command, "events", NAME, "--json"))["events"]
    assert event["topic"] == NAME
    _bytes(command, "--help")


def _bytes(command: Command, *arguments: str) -> bytes:
    done = subprocess.run(
        [*EXECUTABLE, *arguments],
        cwd=command.directory,
        env=command.environment(),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b""), done
    return done.stdout


@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
def test_that_cannot_be_written(
    shop: Shop, command_process: Command, redirection: str
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    command_process.declare(DECLARED)
    for _ in range(100):
        shop.add("x" * 200)
    for arguments in PRINTING:
        done = _redirected(command_process, redirection, *arguments)
        assert done.returncode == 4, (arguments, done)
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: cannot write to standard output: "), arguments


def test_that_nobody_needs(command_process: Command) -> None:
    """What is wrong is told to standard error all the same."""
    command_process("schema", "upgrade")
    done = _redirected(command_process, ">&-", "status", "nobody")
    assert done.returncode == 2
    assert "'nobody'" in done.stderr
    silent = _redirected(command_process, ">/dev/full 2>&-", "status")
    assert (silent.returncode, silent.stderr) == (4, "")


def _redirected(
    command: Command, redirection: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *EXECUTABLE, *arguments],
        cwd=command.directory,
        env=command.environment(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
