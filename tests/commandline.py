"""Alembic's command line, in a process of its own or in this one."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from alembic.config import CommandLine, Config

CHECKOUT = Path(__file__).parents[1]


class Alembic(ABC):
    """Runs commands in a directory: `alembic(url, "upgrade", "head")`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __call__(
        self,
        url: str | None,
        *arguments: str,
        ini: Path = CHECKOUT / "alembic.ini",
        schema: str | None = None,
        error: str | None = None,
    ) -> str:
        """Return what the command printed; if it is to fail, `error` is part of it."""
        given = {"SQLALCHEMY_URL": url, "SQLALCHEMY_SCHEMA": schema}
        environment = {k: v for k, v in os.environ.items() if k not in given}
        environment |= {k: v for k, v in given.items() if v is not None}
        succeeded, output = self._run(["-c", str(ini), *arguments], environment)
        assert succeeded == (error is None), output
        assert error is None or error in output, output
        return output

    @abstractmethod
    def _run(
        self, arguments: list[str], environment: dict[str, str]
    ) -> tuple[bool, str]:
        """Return whether the command succeeded, and what it printed."""


class AlembicProcess(Alembic):
    """Runs the command itself."""

    def _run(
        self, arguments: list[str], environment: dict[str, str]
    ) -> tuple[bool, str]:
        process = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=self._directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return process.returncode == 0, process.stdout


class AlembicInProcess(Alembic):
    """Does what the command does, and is faster."""

    def _run(
        self, arguments: list[str], environment: dict[str, str]
    ) -> tuple[bool, str]:
        output = StringIO()
        command = CommandLine()
        options = command.parser.parse_args(["--raiseerr", *arguments])
        config = Config(
            options.config[0],
            ini_section=options.name,
            stdout=output,
            output_buffer=output,
            cmd_opts=options,
        )
        with pytest.MonkeyPatch.context() as patch, logging_restored():
            patch.chdir(self._directory)
            patch.setattr(os, "environ", environment)
            patch.setattr(sys, "path", sys.path.copy())
            patch.setattr(logging.root, "handlers", [])
            try:
                command.run_cmd(config, options)
            except Exception:
                return False, traceback.format_exc()
        return True, output.getvalue()


@contextmanager
def logging_restored() -> Iterator[None]:
    """Undoes what a configuration file says of the levels of loggers."""
    loggers = [logging.root, logging.getLogger("alembic.runtime.migration")]
    levels = [each.level for each in loggers]
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
