"""The command `eventsourcing-alchemy`, in a process of its own or in this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from eventsourcing_alchemy.cli.app import app

TESTS = Path(__file__).parents[1]
EXECUTABLE = (sys.executable, "-m", "eventsourcing_alchemy")
PATIENCE = 60.0
"""Seconds for a command."""


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    stdout: str
    stderr: str


@dataclass
class Command(ABC):
    """Runs the command with some variables, in a directory."""

    env: Mapping[str, str]
    directory: Path
    variables: dict[str, str | None] = field(default_factory=dict)
    """Beside those of the database; None to have one unset."""

    def __call__(self, *arguments: str, code: int = 0) -> Result:
        """What the command did, if it ended with that exit code."""
        result = self._run(arguments, self.environment())
        assert result.code == code, result
        assert "Traceback" not in result.stderr
        return result

    def environment(self) -> dict[str, str]:
        """The variables of the process."""
        given: dict[str, str | None] = {
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PYTHONPATH": str(TESTS),
        }
        given |= {**self.env, **self.variables}
        environment = {k: v for k, v in os.environ.items() if k not in given}
        return environment | {k: v for k, v in given.items() if v is not None}

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        """The command itself, which has begun, with pipes for what it prints."""
        return subprocess.Popen(
            [*EXECUTABLE, *arguments],
            cwd=self.directory,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def declare(self, text: str) -> None:
        """Write the pyproject.toml."""
        (self.directory / "pyproject.toml").write_text(text, encoding="utf-8")

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The one JSON document that it printed."""
        document = json.loads(self(*arguments, "--json", code=code).stdout)
        assert document["version"] == 1
        return document

    @abstractmethod
    def _run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str]
    ) -> Result:
        """Run it."""


class CommandProcess(Command):
    """Runs the command itself."""

    def _run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str]
    ) -> Result:
        done = subprocess.run(
            [*EXECUTABLE, *arguments],
            cwd=self.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Result(done.returncode, done.stdout, done.stderr)


class CommandInProcess(Command):
    """Does what the command does, and is faster."""

    def _run(
        self, arguments: tuple[str, ...], environment: Mapping[str, str]
    ) -> Result:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.directory)
            patch.setattr(sys, "path", sys.path.copy())
            # A copy that says everything, so that a command may change it.
            whole = {name: environment.get(name) for name in os.environ}
            done = CliRunner().invoke(app, arguments, env={**whole, **environment})
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Result(done.exit_code, done.stdout, done.stderr)
