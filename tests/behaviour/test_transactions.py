"""One transaction for events, tracking, views and the user's own tables."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractContextManager,
    closing,
    contextmanager,
    nullcontext,
    suppress,
)
from contextvars import copy_context
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    DatabaseError,
    IntegrityError,
    InterfaceError,
    ProgrammingError,
    Tracking,
)
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import OperationalError as SQLAlchemyOperationalError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from backends import Capability
from behaviour.workers import DeliberateError, ids, new_events
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    SQLAlchemyTrackingRecorder,
    TransactionEndedError,
)
from factories import OpenFactory, construct_factory

metadata = MetaData()
own = Table("own", metadata, Column("id", Integer, primary_key=True))


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    recorder = factory.application_recorder()
    metadata.create_all(recorder.datastore.engine)
    return recorder


@pytest.fixture
def tracker(
    recorder: SQLAlchemyApplicationRecorder,  # noqa: ARG001 (made first)
    factory: SQLAlchemyFactory,
) -> SQLAlchemyTrackingRecorder:
    return factory.tracking_recorder()


def count_own(recorder: SQLAlchemyApplicationRecorder) -> int:
    with recorder.datastore.reading() as connection:
        return connection.scalars(select(func.count()).select_from(own)).one()


def write_everything(
    recorder: SQLAlchemyApplicationRecorder,
    tracker: SQLAlchemyTrackingRecorder,
    connection: Connection,
    position: int,
) -> None:
    recorder.insert_events(new_events(2))
    tracker.insert_tracking(Tracking("upstream", position))
    connection.execute(insert(own).values(id=position))


def assert_everything(
    recorder: SQLAlchemyApplicationRecorder,
    tracker: SQLAlchemyTrackingRecorder,
    position: int,
) -> None:
    assert ids(recorder) == list(range(1, 2 * position + 1))
    assert tracker.max_tracking_id("upstream") == (position or None)
    assert count_own(recorder) == position


def test_commits_together(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    with recorder.transaction() as connection:
        write_everything(recorder, tracker, connection, 1)
    assert_everything(recorder, tracker, 1)


def test_rolls_back_together(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    with suppress(DeliberateError), recorder.transaction() as connection:
        write_everything(recorder, tracker, connection, 1)
        raise DeliberateError
    assert_everything(recorder, tracker, 0)


def test_outermost_block_commits(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    with (
        suppress(DeliberateError),
        recorder.transaction(),
        tracker.transaction() as connection,
    ):
        with recorder.transaction():
            write_everything(recorder, tracker, connection, 1)
        raise DeliberateError
    assert_everything(recorder, tracker, 0)


@pytest.mark.needs(Capability.SHARED)
def test_joins_recorders_of_other_factories(
    recorder: SQLAlchemyApplicationRecorder, open_factory: OpenFactory
) -> None:
    other = open_factory("Other").application_recorder()
    with suppress(DeliberateError), recorder.transaction():
        recorder.insert_events(new_events())
        other.insert_events(new_events())
        assert ids(other) == [1]
        raise DeliberateError
    assert ids(recorder) == ids(other) == []


def test_failure_within_cannot_be_caught_to_commit_the_rest(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    events = new_events()
    recorder.insert_events(events)

    def carry_on() -> None:
        with tracker.transaction():
            tracker.insert_tracking(Tracking("upstream", 1))
            with suppress(IntegrityError):
                recorder.insert_events(events)

    with pytest.raises(ProgrammingError, match="everything is rolled back"):
        carry_on()
    assert ids(recorder) == [1]
    assert tracker.max_tracking_id("upstream") is None


def test_savepoint_contains_a_failure(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    events = new_events()
    recorder.insert_events(events)
    with recorder.transaction() as connection:
        tracker.insert_tracking(Tracking("upstream", 1))
        with pytest.raises(IntegrityError), connection.begin_nested():
            recorder.insert_events(events)
        assert recorder.insert_events(new_events()) == [2]
    assert ids(recorder) == [1, 2]
    assert tracker.max_tracking_id("upstream") == 1


@pytest.mark.needs(Capability.MVCC)
def test_other_threads_and_tasks_do_not_join(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    recorder.insert_events(new_events())

    async def within_a_task() -> list[int]:
        return ids(recorder)

    with recorder.transaction():
        recorder.insert_events(new_events())
        inherited = copy_context()
        with ThreadPoolExecutor(1) as threads:
            assert threads.submit(inherited.run, ids, recorder).result() == [1]
    # The context still has the transaction, which has ended.
    inherited.run(recorder.insert_events, new_events())
    assert inherited.run(asyncio.run, within_a_task()) == [1, 2, 3]


@pytest.mark.needs(Capability.SHARED)
def test_connection_of_the_caller(
    recorder: SQLAlchemyApplicationRecorder,
    tracker: SQLAlchemyTrackingRecorder,
    engine: Engine,
) -> None:
    with engine.connect() as connection:
        with recorder.transaction(bind=connection) as joined:
            assert joined is connection
            write_everything(recorder, tracker, connection, 1)
        connection.rollback()
        assert_everything(recorder, tracker, 0)
        with recorder.transaction(bind=connection):
            write_everything(recorder, tracker, connection, 1)
        connection.commit()
    assert_everything(recorder, tracker, 1)


@contextmanager
def plain_session(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@contextmanager
def session_in_scope(engine: Engine) -> Iterator[scoped_session[Session]]:
    session = scoped_session(sessionmaker(engine))
    yield session
    session.remove()


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("open_session", [plain_session, session_in_scope])
def test_session_of_the_caller(
    recorder: SQLAlchemyApplicationRecorder,
    tracker: SQLAlchemyTrackingRecorder,
    engine: Engine,
    open_session: Callable[[Engine], AbstractContextManager[Session]],
) -> None:
    with open_session(engine) as session:
        with recorder.transaction(bind=session) as connection:
            write_everything(recorder, tracker, connection, 1)
        session.rollback()
        assert_everything(recorder, tracker, 0)
        with recorder.transaction(bind=session) as connection:
            write_everything(recorder, tracker, connection, 1)
        session.commit()
    assert_everything(recorder, tracker, 1)


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("kind", ["application", "process"])
def test_events_in_a_session_of_the_caller(
    factory: SQLAlchemyFactory, engine: Engine, kind: str
) -> None:
    recorder = getattr(factory, f"{kind}_recorder")()
    snapshots = factory.aggregate_recorder()
    for is_committed in (False, True):
        with Session(engine) as session:
            assert recorder.insert_events(new_events(2), session=session) == [1, 2]
            snapshots.insert_events(new_events(), session=session)
            if kind == "process":
                tracking = Tracking("upstream", 1)
                recorder.insert_events(new_events(), tracking, session=session)
            if is_committed:
                session.commit()
        expected = [1, 2] if kind == "application" else [1, 2, 3]
        assert ids(recorder) == (expected if is_committed else [])
    with (
        Session(engine) as session,
        pytest.raises(ProgrammingError, match="does not record Tracking"),
    ):
        snapshots.insert_events([], tracking=Tracking("upstream", 1), session=session)


@pytest.mark.needs(Capability.SHARED)
def test_application_that_saves_in_a_session_of_the_caller(
    env: dict[str, str], engine: Engine
) -> None:
    with Application[UUID](env=env) as application:
        kept, lost = Aggregate(), Aggregate()
        with Session(engine) as session, session.begin():
            application.save(kept, session=session)
        with Session(engine) as session:
            application.save(lost, session=session)
        assert kept.id in application.repository
        assert lost.id not in application.repository


@pytest.mark.needs(Capability.SHARED)
def test_failure_leaves_the_rest_of_the_caller_s_transaction(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine
) -> None:
    """Whoever catches a conflict and commits leaves no gap in the positions."""
    events = new_events()
    recorder.insert_events(events)
    with engine.begin() as connection:
        connection.execute(insert(own).values(id=1))
        with pytest.raises(IntegrityError), recorder.transaction(bind=connection):
            recorder.insert_events([*new_events(2), *events])
        connection.execute(insert(own).values(id=2))
    assert count_own(recorder) == 2
    assert recorder.insert_events(new_events()) == [2]
    assert ids(recorder) == [1, 2]


@pytest.mark.needs(Capability.SHARED)
def test_nothing_is_left_on_the_caller_s_connection(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine
) -> None:
    """It may take part in many transactions, and what listens to it slows it down."""
    events = new_events()
    recorder.insert_events(events)
    counts = []
    with engine.connect() as connection:
        for _ in range(3):
            with recorder.transaction(bind=connection):
                with pytest.raises(IntegrityError), connection.begin_nested():
                    recorder.insert_events(events)
                recorder.insert_events(new_events())
            connection.commit()
            names = Connection.dispatch._event_names
            heard = [list(getattr(connection.dispatch, name)) for name in names]
            counts.append(sum(map(len, heard)))
    assert counts == counts[:1] * 3
    assert ids(recorder) == [1, 2, 3, 4]


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("open_session", [Engine.connect, plain_session])
def test_caught_failure_within_the_caller_s_transaction(
    recorder: SQLAlchemyApplicationRecorder,
    tracker: SQLAlchemyTrackingRecorder,
    engine: Engine,
    open_session: Callable[[Engine], AbstractContextManager[Session]],
) -> None:
    """Half of what was in the block must not be committed."""
    events = new_events()
    recorder.insert_events(events)

    def carry_on(bind: Session) -> None:
        with recorder.transaction(bind):
            tracker.insert_tracking(Tracking("upstream", 1))
            with suppress(IntegrityError):
                recorder.insert_events([*new_events(2), *events])

    with open_session(engine) as bind:
        with pytest.raises(ProgrammingError, match="everything is rolled back"):
            carry_on(bind)
        bind.execute(insert(own).values(id=1))
        bind.commit()
    assert count_own(recorder) == 1
    assert tracker.max_tracking_id("upstream") is None
    assert recorder.insert_events(new_events()) == [2]


def test_failure_within_a_savepoint_that_nobody_ends(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    events = new_events()
    recorder.insert_events(events)

    def carry_on() -> None:
        with recorder.transaction() as connection:
            tracker.insert_tracking(Tracking("upstream", 1))
            connection.begin_nested()
            with suppress(DeliberateError), recorder.transaction():
                recorder.insert_events(new_events(2))
                raise DeliberateError

    with pytest.raises(ProgrammingError, match="everything is rolled back"):
        carry_on()
    assert tracker.max_tracking_id("upstream") is None
    assert recorder.insert_events(new_events()) == [2]


@pytest.mark.filterwarnings("ignore:nested transaction already deassociated")
def test_outer_savepoint_contains_a_failure_within_one_that_nobody_ends(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.transaction() as connection:
        recorder.insert_events(new_events())
        outer = connection.begin_nested()
        connection.begin_nested()
        with suppress(DeliberateError), recorder.transaction():
            recorder.insert_events(new_events(2))
            raise DeliberateError
        outer.rollback()
    assert ids(recorder) == [1]


def test_failure_within_a_savepoint_that_is_released(
    recorder: SQLAlchemyApplicationRecorder, tracker: SQLAlchemyTrackingRecorder
) -> None:
    events = new_events()
    recorder.insert_events(events)

    def carry_on() -> None:
        with recorder.transaction() as connection, connection.begin_nested():
            tracker.insert_tracking(Tracking("upstream", 1))
            with suppress(IntegrityError):
                recorder.insert_events([*new_events(2), *events])

    with pytest.raises(DatabaseError):
        carry_on()
    assert tracker.max_tracking_id("upstream") is None
    assert recorder.insert_events(new_events()) == [2]


def test_caught_error_of_an_own_statement(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Some databases go on, others roll back: none of them half of it, or silently."""
    with recorder.transaction() as connection:
        connection.execute(insert(own).values(id=1))

    def carry_on() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events(2))
            with suppress(DBAPIError):
                connection.execute(insert(own).values(id=1))

    committed = True
    try:
        carry_on()
    except ProgrammingError:
        committed = False
    assert ids(recorder) == ([1, 2] if committed else [])


def test_transaction_that_the_user_rolls_back(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    def roll_back() -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            connection.rollback()

    with pytest.raises(TransactionEndedError):
        roll_back()
    assert ids(recorder) == []


@pytest.mark.needs(Capability.ROW_LOCKS)
def test_deadlock_within_savepoints(
    recorder: SQLAlchemyApplicationRecorder, open_factory: OpenFactory
) -> None:
    """Where it rolls back more than the savepoint, nothing of the rest is committed."""
    recorders = [open_factory(name).application_recorder() for name in ("One", "Two")]
    with recorder.transaction() as connection:
        connection.execute(insert(own), [{"id": 1}, {"id": 2}])
    barrier = Barrier(2, timeout=10)

    def cross(recorder: SQLAlchemyApplicationRecorder, *order: int) -> None:
        with recorder.transaction() as connection:
            recorder.insert_events(new_events())
            with suppress(SQLAlchemyOperationalError), connection.begin_nested():
                for number in order:
                    statement = select(own.c.id).where(own.c.id == number)
                    connection.execute(statement.with_for_update())
                    if number == order[0]:
                        barrier.wait()
            recorder.insert_events(new_events())

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(cross, recorders[0], 1, 2)
        two = threads.submit(cross, recorders[1], 2, 1)
    for each, future in zip(recorders, (one, two), strict=True):
        assert ids(each) == ([] if future.exception() else [1, 2])
    for _ in range(5):  # On all connections of the pool.
        recorder.insert_events(new_events())


@pytest.mark.needs(Capability.SHARED)
def test_refuses_autocommit(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine
) -> None:
    with (
        engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection,
        pytest.raises(ProgrammingError, match="in AUTOCOMMIT mode"),
        recorder.transaction(connection),
    ):
        pass


def test_block_that_ends_in_another_context(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """As the generators of fixtures and dependencies do."""

    def append() -> Iterator[None]:
        with recorder.transaction():
            recorder.insert_events(new_events())
            yield

    block = append()
    copy_context().run(next, block)
    assert copy_context().run(next, block, "ended") == "ended"
    assert ids(recorder) == [1]


@pytest.mark.needs(Capability.MVCC)
def test_a_task_that_is_started_within_does_not_join(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    async def see() -> list[int]:
        return ids(recorder)

    async def append() -> list[int]:
        with recorder.transaction():
            recorder.insert_events(new_events())
            return await asyncio.create_task(see())

    assert asyncio.run(append()) == []
    assert ids(recorder) == [1]


@pytest.mark.needs(Capability.SHARED)
def test_savepoint_at_the_beginning_on_an_engine_of_the_user_s(
    env: dict[str, str], engine: Engine, topic_of: Callable[[object], str]
) -> None:
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    with closing(construct_factory("Application", env)) as factory:
        recorder = factory.application_recorder()
        with suppress(DeliberateError), recorder.transaction() as connection:
            with connection.begin_nested():
                recorder.insert_events(new_events())
            raise DeliberateError
        assert ids(recorder) == []


@pytest.mark.needs(Capability.SHARED)
def test_refuses_what_is_no_bind(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine
) -> None:
    with (
        pytest.raises(ProgrammingError, match="bind is a 'Engine': expected an open"),
        recorder.transaction(bind=engine),  # type: ignore[arg-type]
    ):
        pass


def test_what_is_written_while_reading_is_rolled_back(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.datastore.reading() as connection:
        connection.execute(insert(own).values(id=1))
    assert count_own(recorder) == 0


def test_reading_within_a_transaction_sees_what_it_wrote(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.transaction() as connection:
        connection.execute(insert(own).values(id=1))
        assert count_own(recorder) == 1


def test_nothing_is_written_within_reading(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Which would take a second connection."""
    with (
        recorder.datastore.reading(),
        pytest.raises(ProgrammingError, match="leave the block before you write"),
    ):
        recorder.insert_events(new_events())
    assert ids(recorder) == []


@pytest.mark.parametrize("open_bind", [nullcontext, Session])
def test_nothing_is_written_by_the_connection_of_reading(
    recorder: SQLAlchemyApplicationRecorder,
    open_bind: Callable[[Connection], AbstractContextManager[Any]],
) -> None:
    """It is rolled back at the end of the block."""
    with (
        recorder.datastore.reading() as connection,
        open_bind(connection) as bind,
        pytest.raises(ProgrammingError, match="leave the block before you write"),
    ):
        recorder.insert_events(new_events(), session=bind)
    assert ids(recorder) == []


def test_closed_datastore(
    factory: SQLAlchemyFactory, recorder: SQLAlchemyApplicationRecorder
) -> None:
    factory.close()
    factory.close()
    with pytest.raises(InterfaceError, match="datastore is closed"):
        recorder.insert_events(new_events())
    with pytest.raises(InterfaceError, match="datastore is closed"):
        recorder.max_notification_id()
    with pytest.raises(InterfaceError, match="datastore is closed"):
        recorder.subscribe()
