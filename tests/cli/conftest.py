"""The command, and a shop with sales, on the database of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from eventsourcing.utils import clear_topic_cache

from cli.command import Command, CommandInProcess, CommandProcess
from cli.shop import Shop


@pytest.fixture
def command(env: dict[str, str], tmp_path: Path) -> Iterator[Command]:
    """The command line, in this process."""
    yield CommandInProcess(env, tmp_path)
    clear_topic_cache()


@pytest.fixture
def command_process(env: dict[str, str], tmp_path: Path) -> Command:
    """The command line, in processes of its own."""
    return CommandProcess(env, tmp_path)


@pytest.fixture
def shop(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """An application, whose database is also that of this process's environment."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with Shop() as shop:
        yield shop
