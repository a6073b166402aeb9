"""Signal handlers that record, in the midst of what their thread is doing."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    create_engine,
    event,
    select,
    update,
)

from backends import Backend, Capability
from behaviour.workers import new_events
from eventsourcing_alchemy import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyFactory,
    SQLAlchemyProcessRecorder,
)
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.schema.tables import applications

ROWS = select(applications.c.id).with_for_update()


@contextmanager
def handling(handler: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def signalled_at(engine: Engine, statement: str) -> Iterator[None]:
    """The signal comes once, just before a statement is executed."""

    waiting = [signal.SIGALRM]

    def interrupt(*arguments: Any) -> None:
        if statement in arguments[2] and waiting:
            signal.raise_signal(waiting.pop())

    event.listen(engine, "before_cursor_execute", interrupt)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", interrupt)


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyProcessRecorder:
    return factory.process_recorder()


def conflict_in_application(
    recorder: SQLAlchemyProcessRecorder,
    _: SQLAlchemyAggregateRecorder,
    taken: StoredEvent,
) -> None:
    recorder.insert_events([taken])


def conflict_in_snapshots(
    _: SQLAlchemyProcessRecorder,
    snapshots: SQLAlchemyAggregateRecorder,
    taken: StoredEvent,
) -> None:
    snapshots.insert_events([taken])


def conflict_in_process(
    recorder: SQLAlchemyProcessRecorder,
    _: SQLAlchemyAggregateRecorder,
    taken: StoredEvent,
) -> None:
    recorder.insert_events([taken], Tracking("upstream", 1))


@pytest.mark.parametrize(
    ("conflict", "statement"),
    [
        (conflict_in_application, "INSERT INTO es_events"),
        (conflict_in_process, "INSERT INTO es_events"),
        (conflict_in_snapshots, "INSERT INTO es_snapshots"),
    ],
)
def test_what_they_are_told_is_stored_is_stored(
    factory: SQLAlchemyFactory,
    recorder: SQLAlchemyProcessRecorder,
    conflict: Callable[..., None],
    statement: str,
) -> None:
    """What they have interrupted is rolled back."""
    snapshots = factory.aggregate_recorder()
    (taken,) = new_events()
    recorder.insert_events([taken])
    snapshots.insert_events([taken])
    acknowledged: list[UUID] = []
    refusals: list[PersistenceError] = []

    def record() -> None:
        saved = StoredEvent(uuid4(), 1, "signalled", b"state")
        try:
            recorder.insert_events([saved])
        except PersistenceError as error:
            refusals.append(error)
        else:
            acknowledged.append(saved.originator_id)  # type: ignore[arg-type]

    with handling(record), signalled_at(recorder.datastore.engine, statement):
        with pytest.raises(IntegrityError):
            conflict(recorder, snapshots, taken)
        assert len(acknowledged) + len(refusals) == 1
        for each in acknowledged:
            assert len(recorder.select_events(each)) == 1
        for error in refusals:
            assert isinstance(error, ProgrammingError)
            assert "in the midst of" in str(error)
    assert recorder.insert_events(new_events()) == [len(acknowledged) + 2]


def select_once(connection: Connection) -> None:
    connection.execute(ROWS)


def update_several_times(connection: Connection) -> None:
    rows = update(applications).where(applications.c.id == bindparam("row"))
    same = rows.values(name=applications.c.name)
    connection.execute(same, [{"row": number} for number in range(5)])


@pytest.mark.needs(Capability.ROW_LOCKS, Capability.KNOWN_STATE)
@pytest.mark.parametrize("execute", [select_once, update_several_times])
def test_they_do_not_wait_for_what_they_have_interrupted(
    recorder: SQLAlchemyProcessRecorder,
    backend: Backend,
    execute: Callable[[Connection], None],
) -> None:
    """A statement of the user's, which waits for a lock, on the same connection."""
    recorder.insert_events(new_events())
    refusals: list[PersistenceError] = []
    engine = create_engine(normalise_url(backend.url))

    def record() -> None:
        try:
            recorder.insert_events(new_events())
        except PersistenceError as error:
            refusals.append(error)
        holder.rollback()

    with engine.connect() as holder, handling(record):
        holder.execute(ROWS)
        with recorder.transaction() as connection:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            execute(connection)
            assert recorder.insert_events(new_events()) == [2]
    engine.dispose()
    (error,) = refusals
    assert isinstance(error, ProgrammingError)
    assert "set a threading.Event" in str(error)
    assert recorder.insert_events(new_events()) == [3]
