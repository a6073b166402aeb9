"""Notifications that PostgreSQL cannot take: a hint never costs an append."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import psycopg
import pytest
from eventsourcing.persistence import OperationalError
from sqlalchemy import create_engine, event
from sqlalchemy.orm import Session

from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from factories import construct_factory
from faults.missing import available
from faults.postgresql import SmallQueueServer

FILL = """
SELECT count(pg_notify('any', repeat('x', 7900) || n)) FROM generate_series(1, {}) n
"""


@pytest.fixture(scope="module")
def server() -> Iterator[SmallQueueServer]:
    with available(), SmallQueueServer() as server:
        server.execute("CREATE DATABASE another")
        yield server


@pytest.fixture
def factory(server: SmallQueueServer) -> Iterator[SQLAlchemyFactory]:
    env = {
        "PERSISTENCE_MODULE": "eventsourcing_alchemy",
        "SQLALCHEMY_URL": server.url(),
        "SQLALCHEMY_RETRY_TIMEOUT": "1",
    }
    with closing(construct_factory("Application", env)) as factory:
        yield factory
    server.execute("DROP SCHEMA public CASCADE")
    server.execute("CREATE SCHEMA public")


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


@pytest.fixture
def idle(server: SmallQueueServer) -> Iterator[psycopg.Connection]:
    """Of somebody else, in another database: nothing leaves the queue meanwhile."""
    address = {"host": "127.0.0.1", "port": server.port, "user": "postgres"}
    with psycopg.connect(**address, dbname="another") as idle:  # type: ignore[arg-type]
        idle.execute("LISTEN whatever")
        idle.commit()
        idle.execute("SELECT 1")
        yield idle
        idle.rollback()


def fill(server: SmallQueueServer) -> None:
    for size in (10, 1):
        with suppress(psycopg.OperationalError):
            while True:
                server.execute(FILL.format(size))


@pytest.mark.parametrize("is_observed", [False, True])
def test_appends_while_the_queue_is_full(
    server: SmallQueueServer,
    recorder: SQLAlchemyApplicationRecorder,
    idle: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
    is_observed: bool,
) -> None:
    if is_observed:
        event.listen(recorder.datastore.engine, "before_cursor_execute", ignore)
    caplog.set_level(logging.INFO, "eventsourcing_alchemy")
    fill(server)
    for count in (1, 2):
        recorder.insert_events(new_events(count))
    with recorder.transaction():
        recorder.insert_events(new_events())
    assert ids(recorder) == [1, 2, 3, 4]
    (said,) = caplog.messages
    assert "queue of PostgreSQL is half full" in said
    idle.rollback()
    recorder.insert_events(new_events())
    assert caplog.messages[1:] == ["Sending notifications again"]


def ignore(*_: Any) -> None:
    """What is listened to goes by way of SQLAlchemy."""


def test_subscribes_while_the_queue_is_full(
    server: SmallQueueServer,
    recorder: SQLAlchemyApplicationRecorder,
    idle: psycopg.Connection,  # noqa: ARG001
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill(server)
    with recorder.subscribe() as subscription:
        for position in range(1, 3):
            recorder.insert_events(new_events())
            assert next(subscription).id == position
    assert any("polling instead" in each for each in caplog.messages)


def test_a_queue_that_fills_before_the_commit_is_a_conflict(
    server: SmallQueueServer,
    recorder: SQLAlchemyApplicationRecorder,
    idle: psycopg.Connection,  # noqa: ARG001
) -> None:
    with ExitStack() as stack:
        failure = stack.enter_context(pytest.raises(OperationalError))
        stack.enter_context(recorder.transaction())
        recorder.insert_events(new_events())
        fill(server)
    assert (
        error_kind_of(failure.value, recorder.datastore.dialect) is ErrorKind.CONFLICT
    )
    assert recorder.insert_events(new_events()) == [1]


def test_takes_part_in_two_phase_transactions(
    server: SmallQueueServer, recorder: SQLAlchemyApplicationRecorder
) -> None:
    engine = create_engine(server.url())
    with engine.connect() as connection, connection.begin_twophase() as transaction:
        with recorder.transaction(connection):
            recorder.insert_events(new_events())
        transaction.prepare()
        transaction.commit()
    with Session(engine, twophase=True) as session:
        with recorder.transaction(session):
            recorder.insert_events(new_events())
        session.commit()
    engine.dispose()
    assert ids(recorder) == [1, 2]
