"""The transaction that began is the one that ends, or it is an error."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    OperationalError,
    ProgrammingError,
    Tracking,
)
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    Table,
    Update,
    delete,
    insert,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from backends import Backend, Capability
from behaviour.own_table import (
    count_own,
    do_nothing,
    execute_raw,
    insert_own,
    insert_raw,
    metadata,
    own,
)
from behaviour.workers import DeliberateError, ids, new_events
from eventcounters import EventCounters
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    TransactionEndedError,
)
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from factories import OpenFactory

unique = Table(
    "unique_own",
    metadata,
    Column("id", Integer, primary_key=True, sqlite_on_conflict_primary_key="ROLLBACK"),
)


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    recorder = factory.application_recorder()
    metadata.create_all(recorder.datastore.engine)
    return recorder


def end_by_connection(connection: Connection) -> None:
    connection.commit()


def roll_back_by_connection(connection: Connection) -> None:
    connection.rollback()


def end_by_driver(connection: Connection) -> None:
    connection.connection.commit()


def roll_back_by_driver(connection: Connection) -> None:
    connection.connection.rollback()


def end_by_cursor(connection: Connection) -> None:
    execute_raw(connection, "COMMIT")


ENDS = [
    end_by_connection,
    roll_back_by_connection,
    end_by_driver,
    roll_back_by_driver,
    end_by_cursor,
]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("go_on", [do_nothing, insert_raw, insert_own])
def test_transaction_that_is_ended_inside_of_its_block(
    recorder: SQLAlchemyApplicationRecorder,
    end: Callable[[Connection], None],
    go_on: Callable[[Connection], None],
) -> None:
    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            end(connection)
            with suppress(Exception):  # Which does not help.
                go_on(connection)

    with pytest.raises(TransactionEndedError, match="ended inside its block"):
        write()
    committed = 1 if end in {end_by_connection, end_by_driver, end_by_cursor} else 0
    assert ids(recorder) == [1][:committed]
    assert recorder.insert_events(new_events()) == [committed + 1]


@pytest.mark.needs(Capability.SERVER, Capability.KNOWN_STATE)
@pytest.mark.parametrize(
    "script",
    [
        "COMMIT AND CHAIN",
        "ROLLBACK AND CHAIN",
        "SELECT 1; COMMIT; BEGIN",
        "SELECT 1; ROLLBACK; START TRANSACTION",
    ],
)
def test_another_transaction_that_begins_at_once(
    open_factory: OpenFactory, backend: Backend, script: str
) -> None:
    """The driver is in a transaction before and after, but not in the same one."""
    url = normalise_url(backend.url).update_query_dict(backend.script_settings)
    factory = open_factory(SQLALCHEMY_URL=url.render_as_string(hide_password=False))
    recorder = factory.application_recorder()

    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            execute_raw(connection, script)
            recorder.insert_events(new_events())

    with pytest.raises(TransactionEndedError, match="ended inside its block"):
        write()
    committed = 1 if "COMMIT" in script else 0
    assert recorder.insert_events(new_events()) == [committed + 1]


@pytest.mark.needs(Capability.KNOWN_STATE)
@pytest.mark.parametrize("end", [end_by_driver, roll_back_by_driver, end_by_cursor])
def test_another_transaction_that_a_cursor_begins(
    recorder: SQLAlchemyApplicationRecorder, end: Callable[[Connection], None]
) -> None:
    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            end(connection)
            execute_raw(connection, "BEGIN")
            insert_raw(connection)

    with pytest.raises(TransactionEndedError, match="ended inside its block"):
        write()
    committed = 0 if end is roll_back_by_driver else 1
    assert count_own(recorder) == 0
    assert recorder.insert_events(new_events()) == [committed + 1]


@pytest.mark.needs(Capability.SERVER, Capability.KNOWN_STATE)
def test_script_that_goes_back_to_a_savepoint(
    open_factory: OpenFactory, backend: Backend
) -> None:
    url = normalise_url(backend.url).update_query_dict(backend.script_settings)
    factory = open_factory(SQLALCHEMY_URL=url.render_as_string(hide_password=False))
    recorder = factory.application_recorder()
    with recorder.transaction() as connection:
        recorder.insert_events(new_events())
        execute_raw(
            connection, "SAVEPOINT chain; SELECT 1; ROLLBACK TO SAVEPOINT chain"
        )
        recorder.insert_events(new_events())
    assert ids(recorder) == [1, 2]


@pytest.mark.needs(Capability.NOTIFY, Capability.OWN_CURSOR)
def test_block_of_the_driver_s_own_connection(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """psycopg's is the transaction where none has begun yet, and ends it."""

    def write() -> None:
        with recorder.transaction() as connection:
            driver_connection: Any = connection.connection.driver_connection
            with driver_connection.transaction():
                insert_raw(connection)
            recorder.insert_events(new_events())

    with pytest.raises(TransactionEndedError, match="ended inside its block"):
        write()
    assert ids(recorder) == []
    assert count_own(recorder) == 1


@pytest.mark.needs(Capability.NOTIFY, Capability.OWN_CURSOR)
def test_cursor_of_the_server_that_begins_another_transaction(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    def write() -> None:
        with recorder.transaction() as connection:
            driver_connection: Any = connection.connection.driver_connection
            insert_raw(connection)
            driver_connection.commit()
            with driver_connection.cursor("of_the_server") as cursor:
                cursor.execute("SELECT 1")
            recorder.insert_events(new_events())

    with pytest.raises(TransactionEndedError, match="ended inside its block"):
        write()
    assert ids(recorder) == []


@pytest.mark.parametrize("end", [roll_back_by_driver, end_by_cursor])
def test_drivers_that_do_not_know_the_state(
    recorder: SQLAlchemyApplicationRecorder,
    end: Callable[[Connection], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A savepoint tells, on every database."""
    monkeypatch.setattr(recorder.datastore.dialect, "mark", lambda _: None)

    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            with connection.begin_nested():
                connection.execute(delete(own))
            end(connection)
            insert_raw(connection)

    with suppress(DeliberateError), recorder.transaction():
        raise DeliberateError
    with recorder.transaction() as connection:
        insert_own(connection)
        connection.execute(delete(own))
    with pytest.raises(TransactionEndedError):
        write()
    assert len(ids(recorder)) == (1 if end is end_by_cursor else 0)


@pytest.mark.needs(Capability.KNOWN_STATE)
@pytest.mark.parametrize("end", ENDS)
def test_what_is_recorded_after_that_is_an_error(
    recorder: SQLAlchemyApplicationRecorder, end: Callable[[Connection], None]
) -> None:
    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            end(connection)
            with pytest.raises(TransactionEndedError):
                recorder.insert_events(new_events(2))
            raise DeliberateError

    with pytest.raises(DeliberateError):
        write()
    assert len(ids(recorder)) <= 1


@pytest.mark.parametrize("go_on", [insert_own, insert_raw])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.needs(Capability.SHARED)
def test_transaction_of_the_caller_that_is_ended_inside_of_the_block(
    recorder: SQLAlchemyApplicationRecorder,
    engine: Engine,
    end: Callable[[Connection], None],
    go_on: Callable[[Connection], None],
) -> None:
    def write(connection: Connection) -> None:
        with recorder.transaction(connection):
            recorder.insert_events(new_events())
            end(connection)
            with suppress(Exception):
                go_on(connection)

    with engine.connect() as connection:
        with pytest.raises(TransactionEndedError):
            write(connection)
        connection.commit()
    assert count_own(recorder) == 0
    assert len(ids(recorder)) <= 1


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("end", [Session.commit, Session.rollback])
def test_session_of_the_caller_that_is_ended_inside_of_the_block(
    recorder: SQLAlchemyApplicationRecorder,
    engine: Engine,
    end: Callable[[Session], None],
) -> None:
    def write(session: Session) -> None:
        with recorder.transaction(session):
            recorder.insert_events(new_events())
            end(session)
            recorder.insert_events(new_events())

    with Session(engine) as session:
        with pytest.raises(TransactionEndedError):
            write(session)
        session.commit()
    assert len(ids(recorder)) == (1 if end is Session.commit else 0)


def test_statements_that_end_transactions_are_not_sent(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.transaction() as connection:
        recorder.insert_events(new_events())
        for statement in ("COMMIT", "Rollback", " /* x */ end ;", "START TRANSACTION"):
            with pytest.raises(ProgrammingError, match="the block begins and ends it"):
                connection.execute(text(statement))
            with pytest.raises(ProgrammingError, match="the block begins and ends it"):
                connection.exec_driver_sql(statement)
        recorder.insert_events(new_events())
    assert ids(recorder) == [1, 2]


def test_savepoints_of_the_user_s_own(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.transaction() as connection:
        connection.execute(text("SAVEPOINT mine"))
        insert_own(connection)
        connection.execute(text("ROLLBACK TO SAVEPOINT mine"))
        connection.execute(text("RELEASE SAVEPOINT mine"))
        with connection.begin_nested():
            insert_own(connection)
        with suppress(DeliberateError), connection.begin_nested():
            connection.execute(insert(own).values(id=2))
            raise DeliberateError
        recorder.insert_events(new_events())
    assert count_own(recorder) == 1
    assert ids(recorder) == [1]


def fail(connection: Connection) -> None:
    with suppress(DBAPIError):
        connection.execute(insert(unique).values(id=1))


def fail_raw(connection: Connection) -> None:
    with suppress(Exception):
        execute_raw(connection, "INSERT INTO unique_own VALUES (1)")


@pytest.mark.needs(Capability.ROLLBACK_BY_CONFLICT)
@pytest.mark.parametrize("caught", [fail, fail_raw])
@pytest.mark.parametrize("go_on", [do_nothing, insert_own])
def test_caught_error_that_has_ended_the_transaction(
    recorder: SQLAlchemyApplicationRecorder,
    caught: Callable[[Connection], None],
    go_on: Callable[[Connection], None],
) -> None:
    with recorder.transaction() as connection:
        connection.execute(insert(unique).values(id=1))

    def write() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            caught(connection)
            with suppress(TransactionEndedError):
                go_on(connection)

    with pytest.raises(TransactionEndedError):
        write()
    assert ids(recorder) == []
    assert count_own(recorder) == 0


@pytest.mark.needs(Capability.ROLLBACK_BY_CONFLICT)
def test_caught_error_in_a_savepoint_that_has_ended_the_transaction(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """After it, a savepoint would be a transaction of its own."""
    with recorder.transaction() as connection:
        connection.execute(insert(unique).values(id=1))

    def write() -> None:
        with recorder.transaction() as connection:
            fail(connection)
            with suppress(TransactionEndedError), connection.begin_nested():
                insert_own(connection)

    with pytest.raises(TransactionEndedError):
        write()
    assert count_own(recorder) == 0


@pytest.mark.needs(Capability.ROLLBACK_BY_CONFLICT)
def test_caught_error_while_an_event_is_processed(
    recorder: SQLAlchemyApplicationRecorder, factory: SQLAlchemyFactory
) -> None:
    view = factory.tracking_recorder(EventCounters)
    with recorder.transaction() as connection:
        connection.execute(insert(unique).values(id=1))

    def process() -> None:
        with view.processing(Tracking("upstream", 1)) as connection:
            fail(connection)
            insert_own(connection)

    with pytest.raises(TransactionEndedError):
        process()
    assert view.max_tracking_id("upstream") is None
    assert count_own(recorder) == 0


@pytest.mark.needs(Capability.ROLLBACK_BY_CONFLICT)
def test_error_that_has_ended_the_transaction_around_a_savepoint(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """It is that one, and not the one about the savepoint that is no more."""
    with recorder.transaction() as connection:
        connection.execute(insert(unique).values(id=1))

    def write() -> None:
        with recorder.transaction() as connection, connection.begin_nested():
            connection.execute(insert(unique).values(id=1))

    with pytest.raises(IntegrityError, match="UNIQUE"):
        write()


@pytest.mark.needs(Capability.ROW_LOCKS)
@pytest.mark.parametrize("is_session", [False, True])
def test_deadlock_within_a_savepoint(
    recorder: SQLAlchemyApplicationRecorder, is_session: bool
) -> None:
    """Whoever is chosen is told of the deadlock, so that it is tried again."""
    with recorder.transaction() as connection:
        connection.execute(insert(unique), [{"id": 1}, {"id": 2}])
    both = Barrier(2)

    def write(first: int, second: int) -> None:
        with recorder.transaction() as connection:
            connection.execute(change(first))
            both.wait(20)
            if is_session:
                with recorder.session() as session, session.begin_nested():
                    session.execute(change(second))
            else:
                with connection.begin_nested():
                    connection.execute(change(second))

    with ThreadPoolExecutor(2) as threads:
        done = [threads.submit(write, *rows) for rows in ((1, 2), (2, 1))]
    (error,) = [each.exception() for each in done if each.exception()]
    assert isinstance(error, OperationalError)
    kind = error_kind_of(error, recorder.datastore.dialect)
    assert kind is ErrorKind.CONFLICT, error


def change(number: int) -> Update:
    return update(unique).where(unique.c.id == number).values(id=number)
