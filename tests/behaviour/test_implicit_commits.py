"""Statements that commit by the way, where the database has them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from eventsourcing.persistence import ProgrammingError
from pymysql.cursors import DictCursor
from sqlalchemy import Connection, text

from backends import Capability
from behaviour.own_table import (
    count_own,
    do_nothing,
    execute_raw,
    insert_own,
    insert_raw,
    metadata,
)
from behaviour.workers import DeliberateError, ids, new_events
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    TransactionEndedError,
)

pytestmark = pytest.mark.needs(Capability.IMPLICIT_COMMIT)


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    recorder = factory.application_recorder()
    metadata.create_all(recorder.datastore.engine)
    return recorder


IMPLICIT = [
    "TRUNCATE TABLE own",
    "truncate own",
    "CREATE TABLE another (id INTEGER)",
    "CREATE OR REPLACE VIEW another AS SELECT 1",
    "DROP TABLE own",
    "ALTER TABLE own ADD another INTEGER",
    "LOCK TABLES own WRITE",
    "SET autocommit = 1",
    "SET @@session.autocommit = 1",
    "-- a comment\nANALYZE TABLE own",
    "XA START 'x'",
]


def test_statements_that_commit_are_not_sent(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with suppress(DeliberateError), recorder.transaction() as connection:
        recorder.insert_events(new_events())
        for statement in IMPLICIT:
            with pytest.raises(ProgrammingError, match="use DELETE instead of TRUNC"):
                connection.execute(text(statement))
        raise DeliberateError
    assert ids(recorder) == []


def test_tables_of_the_session_do_not_commit(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with suppress(DeliberateError), recorder.transaction() as connection:
        recorder.insert_events(new_events())
        connection.execute(text("CREATE TEMPORARY TABLE mine (id INTEGER)"))
        connection.execute(text("DROP TEMPORARY TABLE mine"))
        raise DeliberateError
    assert ids(recorder) == []


def truncate_raw(connection: Connection) -> None:
    execute_raw(connection, "TRUNCATE TABLE own")


def fail_to_truncate_raw(connection: Connection) -> None:
    with suppress(Exception):
        execute_raw(connection, "TRUNCATE TABLE missing")


def call(connection: Connection) -> None:
    connection.execute(text("CALL committing()"))


def call_raw(connection: Connection) -> None:
    driver_connection: Any = connection.connection
    driver_connection.cursor().callproc("committing")


def call_by_another_cursor(connection: Connection) -> None:
    driver_connection: Any = connection.connection
    driver_connection.cursor(DictCursor).callproc("committing")


def begin_by_driver(connection: Connection) -> None:
    driver_connection: Any = connection.connection
    driver_connection.begin()


of_pymysql = pytest.mark.needs(Capability.CURSOR_CLASSES)
COMMITS: list[Any] = [
    truncate_raw,
    call,
    call_raw,
    pytest.param(call_by_another_cursor, marks=of_pymysql),
    pytest.param(begin_by_driver, marks=of_pymysql),
]


@pytest.fixture
def procedures(recorder: SQLAlchemyApplicationRecorder) -> None:
    bodies = {"committing": "COMMIT; INSERT INTO own VALUES (10)", "harmless": "DO 0"}
    with recorder.datastore.engine.begin() as connection:
        for name, body in bodies.items():
            procedure = f"CREATE PROCEDURE {name}() BEGIN {body}; END"
            connection.execute(text(procedure))


@pytest.mark.parametrize("commit", [*COMMITS, fail_to_truncate_raw])
@pytest.mark.parametrize("go_on", [do_nothing, insert_raw, insert_own])
@pytest.mark.usefixtures("procedures")
def test_nothing_is_committed_after_an_implicit_commit(
    recorder: SQLAlchemyApplicationRecorder,
    commit: Callable[[Connection], None],
    go_on: Callable[[Connection], None],
) -> None:
    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            commit(connection)
            with suppress(TransactionEndedError):
                go_on(connection)
                recorder.insert_events(new_events())

    with pytest.raises(TransactionEndedError):
        write()
    assert ids(recorder) == [1]
    assert count_own(recorder) == 0


@pytest.mark.parametrize("commit", COMMITS)
@pytest.mark.usefixtures("procedures")
def test_the_next_statement_after_an_implicit_commit_is_an_error(
    recorder: SQLAlchemyApplicationRecorder, commit: Callable[[Connection], None]
) -> None:
    with (
        suppress(DeliberateError),
        recorder.transaction() as connection,
    ):
        insert_own(connection)
        commit(connection)
        with pytest.raises(TransactionEndedError):
            recorder.insert_events(new_events())
        raise DeliberateError


@pytest.mark.usefixtures("procedures")
def test_procedure_that_commits_nothing(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.transaction() as connection:
        with connection.begin_nested():
            connection.execute(text("CALL harmless()"))
        recorder.insert_events(new_events())
        connection.execute(text("CALL harmless()"))
    assert ids(recorder) == [1]
