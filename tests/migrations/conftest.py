"""Alembic on the command line, and engines on the databases of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from backends import Backend
from commandline import Alembic, AlembicInProcess, AlembicProcess
from eventsourcing_alchemy.dialects.urls import normalise_url


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
        connection.begin()
        if engine.dialect.name == "sqlite":
            # Python's driver begins at the first INSERT, not at CREATE TABLE.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection


@pytest.fixture
def schema(backend: Backend) -> Iterator[str]:
    """The name of a schema that does not exist, nor will after the test.

    To be asked for before a connection, whose locks its removal would wait for.
    """
    name = f"migr_{os.getpid()}_schema"
    yield name
    engine = create_engine(normalise_url(backend.url), poolclass=NullPool)
    cascade = "CASCADE" if engine.dialect.name == "postgresql" else ""
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {name} {cascade}"))


@pytest.fixture
def alembic_process(tmp_path: Path) -> Alembic:
    """The command `alembic`, in an empty directory."""
    return AlembicProcess(tmp_path)


@pytest.fixture
def alembic(tmp_path: Path) -> Alembic:
    """The same within this process, which is faster."""
    return AlembicInProcess(tmp_path)
