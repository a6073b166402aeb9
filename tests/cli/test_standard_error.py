"""Where standard error is closed, full, or its reader has gone."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from backends import Capability
from cli.command import EXECUTABLE, Command
from cli.shop import DECLARED, Sales, SalesProjection, Shop
from eventsourcing_alchemy import SQLAlchemyProjectionRunner

pytestmark = pytest.mark.needs(Capability.SHARED)


def broken() -> int:
    """A pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full() -> int:
    """A file for which there is no room."""
    return os.open("/dev/full", os.O_WRONLY)


@pytest.fixture(params=[broken, full])
def unwritable(request: pytest.FixtureRequest) -> Iterator[int]:
    try:
        descriptor: int = request.param()
    except FileNotFoundError:
        pytest.skip("there is no /dev/full")
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def used(shop: Shop) -> None:
    """A view that has processed an event."""
    shop.sell(shop.add("tea"), 5)
    with SQLAlchemyProjectionRunner(
        application_class=Shop, projection_class=SalesProjection, view_class=Sales
    ) as runner:
        runner.wait(shop.recorder.max_notification_id(), timeout=20)


def run(command: Command, stderr: int, *arguments: str) -> tuple[int, str]:
    """The exit code, and what is in standard output."""
    done = subprocess.run(
        [*EXECUTABLE, *arguments],
        cwd=command.directory,
        env=command.environment(),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.once
@pytest.mark.usefixtures("used")
def test_work_is_done(command_process: Command, unwritable: int) -> None:
    command_process.declare(DECLARED)
    done = run(command_process, unwritable, "rebuild", "sales")
    assert done == (0, "sales is rebuilt.\n")


@pytest.mark.once
@pytest.mark.usefixtures("used")
def test_exit_codes_stay(command_process: Command, unwritable: int) -> None:
    command = command_process
    assert run(command, unwritable, "status", "nobody") == (2, "")
    assert run(command, unwritable, "rebuild") == (2, "")
