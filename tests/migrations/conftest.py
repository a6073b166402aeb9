"""Alembic on the command line, and engines on the databases of the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from shutil import copy

import pytest
from alembic.config import Config
from sqlalchemy import Connection, Engine, NullPool, create_engine, text

from backends import Backend
from commandline import Alembic, AlembicInProcess, AlembicProcess
from eventsourcing_alchemy.dialects.urls import normalise_url

INI = """
[alembic]
script_location = %(here)s
path_separator = newline
version_locations =
    %(here)s/versions
    eventsourcing_alchemy.migrations:versions
"""

INI_WITH_SECTIONS = """
[alembic]
script_location = %(here)s

[eventsourcing_alchemy]
script_location = eventsourcing_alchemy.migrations:.
"""

ENVIRONMENT = """
import os
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, NullPool
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy import declared, include_name, keep_apart

mine = MetaData()
Table("mine", mine, Column("id", Integer, primary_key=True))

with create_engine(
    normalise_url(os.environ["SQLALCHEMY_URL"]), poolclass=NullPool
).connect() as connection:
    context.configure(connection=connection, {options})
    with context.begin_transaction():
        context.run_migrations()
"""

OPTIONS = {
    "excluded": "target_metadata=mine, include_name=include_name, "
    "process_revision_directives=keep_apart",
    "included": "target_metadata=[mine, declared(None)]",
}


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
    cascade = "" if engine.dialect.name in ("mysql", "mariadb") else "CASCADE"
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


@pytest.fixture
def ini_with_sections(tmp_path: Path) -> Path:
    """The configuration of two environments: a user's own, and ours."""
    return _environment(tmp_path, INI_WITH_SECTIONS, OPTIONS["excluded"])


@pytest.fixture(params=OPTIONS)
def ini(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The configuration of a user's own environment, with our revisions in it."""
    return _environment(tmp_path, INI, OPTIONS[request.param])


def _environment(directory: Path, text: str, options: str) -> Path:
    (directory / "versions").mkdir()
    ini = directory / "alembic.ini"
    ini.write_text(text)
    (directory / "env.py").write_text(ENVIRONMENT.replace("{options}", options))
    template = Config().get_template_directory() + "/generic/script.py.mako"
    copy(template, directory)
    return ini
