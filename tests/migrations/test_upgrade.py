"""Migrations from Python, on a connection of the caller's."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from eventsourcing.persistence import ProgrammingError
from sqlalchemy import Connection, create_engine, inspect

from eventsourcing_alchemy.schema.migrate import (
    VERSION_TABLE,
    current_revision,
    include_name,
    missing_tables,
    upgrade,
)
from eventsourcing_alchemy.schema.tables import metadata, tracking


def test_an_empty_database_is_brought_up_to_date(connection: Connection) -> None:
    assert missing_tables(connection, None) == sorted(metadata.tables)
    assert current_revision(connection, None) is None
    upgrade(connection, None)
    assert missing_tables(connection, None) == []
    assert current_revision(connection, None) == "es_0006"


@pytest.mark.needs("transactional_ddl")
def test_the_transaction_is_the_callers(connection: Connection) -> None:
    transaction = connection.get_transaction()
    upgrade(connection, None)
    assert connection.get_transaction() is transaction
    connection.rollback()
    assert missing_tables(connection, None) == sorted(metadata.tables)
    assert current_revision(connection, None) is None


def test_what_is_committed_is_the_whole(connection: Connection) -> None:
    upgrade(connection, None)
    assert connection.in_transaction()
    connection.commit()
    assert missing_tables(connection, None) == []
    assert current_revision(connection, None) == "es_0006"


def test_nothing_is_said() -> None:
    program = """
import logging
from sqlalchemy import create_engine
from eventsourcing_alchemy.schema import migrate
with create_engine("sqlite://").begin() as connection:
    migrate.upgrade(connection, None)
assert not logging.root.handlers
"""
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True
    )
    assert (output.stdout, output.stderr) == (b"", b"")


def test_tables_of_others_are_completed_never_made_again(
    connection: Connection,
) -> None:
    metadata.create_all(connection)
    upgrade(connection, None)
    assert (
        current_revision(connection, None) is None
    )  # It is not our environment's to tell.
    tracking.drop(connection)
    upgrade(connection, None)
    assert missing_tables(connection, None) == []
    assert current_revision(connection, None) == "es_0006"


def test_a_table_that_was_lost_is_not_replaced_by_an_empty_one(
    connection: Connection,
) -> None:
    upgrade(connection, None)
    tracking.drop(connection)
    with pytest.raises(ProgrammingError, match=r"es_0006 but lacks es_tracking"):
        upgrade(connection, None)


@pytest.mark.needs("server")
def test_a_schema_is_made(schema: str, connection: Connection) -> None:
    assert missing_tables(connection, schema) == sorted(metadata.tables)
    assert current_revision(connection, schema) is None
    upgrade(connection, schema)
    assert missing_tables(connection, schema) == []
    assert current_revision(connection, schema) == "es_0006"
    assert inspect(connection).get_table_names() == []


@pytest.mark.needs("server")
def test_a_translated_schema_is_not_translated_again(
    schema: str, connection: Connection
) -> None:
    connection.execution_options(schema_translate_map={None: schema})
    upgrade(connection, schema)
    assert missing_tables(connection, schema) == []
    assert connection.execute(tracking.select()).all() == []


@pytest.mark.needs("server")
def test_the_schema_argument_comes_before_the_environment(
    schema: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQLALCHEMY_SCHEMA", schema)
    upgrade(connection, None)
    assert missing_tables(connection, None) == []
    assert not inspect(connection).has_schema(schema)


def test_threads_upgrade_one_after_the_other() -> None:
    def upgraded(_: int) -> str | None:
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            upgrade(connection, None)
            revision = current_revision(connection, None)
        engine.dispose()
        return revision

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(upgraded, range(32))) == {"es_0006"}


@pytest.mark.parametrize("name", [VERSION_TABLE, *metadata.tables])
def test_our_tables_are_kept_from_others(name: str) -> None:
    assert not include_name(name, "table", {"schema_name": None})
    assert include_name(name, "schema", {})
    assert include_name(name, "column", {"table_name": "theirs"})
    assert include_name("theirs", "table", {"schema_name": None})
