"""What recorders do within a savepoint of a session is undone with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from backends import Capability
from behaviour.workers import DeliberateError
from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory

OpenSession = Callable[
    [SQLAlchemyApplicationRecorder, Engine], AbstractContextManager[Session]
]


@contextmanager
def of_the_caller(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine
) -> Iterator[Session]:
    with Session(engine) as session, session.begin(), recorder.transaction(session):
        yield session


@contextmanager
def of_the_recorder(
    recorder: SQLAlchemyApplicationRecorder,
    engine: Engine,  # noqa: ARG001
) -> Iterator[Session]:
    with recorder.session() as session:
        yield session


@contextmanager
def on_a_connection(
    recorder: SQLAlchemyApplicationRecorder,
    engine: Engine,  # noqa: ARG001
) -> Iterator[Session]:
    with recorder.transaction() as connection, Session(connection) as session:
        yield session
        session.commit()


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    recorder: SQLAlchemyApplicationRecorder = factory.application_recorder()
    return recorder


def record(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"")])


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize(
    "open_session", [of_the_caller, of_the_recorder, on_a_connection]
)
@pytest.mark.parametrize("is_used", [False, True])
def test_a_part_that_is_undone(
    recorder: SQLAlchemyApplicationRecorder,
    engine: Engine,
    open_session: OpenSession,
    is_used: bool,
) -> None:
    """Whether or not the session has executed anything in it."""
    with open_session(recorder, engine) as session:
        record(recorder)
        with suppress(DeliberateError), session.begin_nested():
            if is_used:
                session.execute(text("SELECT 1"))
            record(recorder)
            with session.begin_nested():
                record(recorder)
            raise DeliberateError
        record(recorder)
    assert recorder.max_notification_id() == 2


def test_rollback(recorder: SQLAlchemyApplicationRecorder) -> None:
    with recorder.session() as session:
        for _ in range(2):
            record(recorder)
            session.rollback()
        record(recorder)
    assert recorder.max_notification_id() == 1


def test_rollback_leaves_the_tracking(factory: SQLAlchemyFactory) -> None:
    view = factory.tracking_recorder(EventCounters)
    recorder: SQLAlchemyApplicationRecorder = factory.application_recorder()
    with view.session(Tracking("upstream", 1)) as session:
        record(recorder)
        session.rollback()
    assert view.max_tracking_id("upstream") == 1
    assert not recorder.max_notification_id()
