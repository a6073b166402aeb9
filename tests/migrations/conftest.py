"""Alembic on the command line, and engines on the databases of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from backends import Backend
from eventsourcing_alchemy.dialects.urls import normalise_url

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def engine(backend: Backend) -> Iterator[Engine]:
    """An engine on the database; in memory, it has one connection at a time."""
    engine = create_engine(normalise_url(backend.url))
    yield engine
    engine.dispose()


@pytest.fixture
def connection(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that nothing but the test ends."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            # Python's driver begins at the first INSERT, not at CREATE TABLE.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@pytest.fixture
def schema(backend: Backend) -> Iterator[str]:
    """The name of a schema that does not exist, nor will after the test."""
    name = f"migr_{os.getpid()}_schema"
    yield name
    engine = create_engine(normalise_url(backend.url), poolclass=NullPool)
    cascade = "CASCADE" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {name} {cascade}"))


@pytest.fixture
def alembic(tmp_path: Path) -> Callable[..., str]:
    """Runs Alembic from the checkout, or elsewhere: `alembic(url, "upgrade", …)`.

    Returns what it printed. `error=` is what the message of its failure contains.
    """

    def run(
        url: str | None,
        *arguments: str,
        ini: Path = CHECKOUT / "alembic.ini",
        schema: str | None = None,
        error: str | None = None,
    ) -> str:
        given = {"SQLALCHEMY_URL": url, "SQLALCHEMY_SCHEMA": schema}
        inherited = {k: v for k, v in os.environ.items() if k not in given}
        process = subprocess.run(
            [sys.executable, "-m", "alembic", "-c", str(ini), *arguments],
            cwd=tmp_path,
            env=inherited | {k: v for k, v in given.items() if v is not None},
            capture_output=True,
            text=True,
            check=False,
        )
        output = process.stdout + process.stderr
        assert (process.returncode != 0) == (error is not None), output
        assert error is None or error in output, output
        return output

    return run
