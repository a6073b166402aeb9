"""What was processed once is refused, whoever tries again, on every database."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier, Event, Thread
from time import monotonic

import psycopg
import pytest
from eventsourcing.persistence import (
    IntegrityError,
    OperationalError,
    ProgrammingError,
    Tracking,
    WaitInterruptedError,
)
from sqlalchemy import create_engine, text

from backends import Backend, Capability
from behaviour.workers import DeliberateError, new_events
from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyFactory, SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.recorders import tracking
from factories import OpenFactory

pytestmark = pytest.mark.observed


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyTrackingRecorder:
    return factory.tracking_recorder()


def test_never_goes_back(recorder: SQLAlchemyTrackingRecorder) -> None:
    recorder.insert_tracking(Tracking("upstream", 5))
    for position in (5, 4, 1):
        with pytest.raises(IntegrityError, match="has already processed position"):
            recorder.insert_tracking(Tracking("upstream", position))
    assert recorder.max_tracking_id("upstream") == 5


@pytest.mark.needs(Capability.SHARED)
def test_projections_do_not_share_positions(open_factory: OpenFactory) -> None:
    one, two, same = (
        open_factory(name).tracking_recorder() for name in ("One", "Two", "One")
    )
    one.insert_tracking(Tracking("upstream", 1))
    two.insert_tracking(Tracking("upstream", 1))
    with pytest.raises(IntegrityError):
        same.insert_tracking(Tracking("upstream", 1))


@pytest.mark.parametrize("before", [None, 1])
def test_one_of_many_rivals_wins(
    recorder: SQLAlchemyTrackingRecorder, before: int | None
) -> None:
    """Also for the very first position, when there is no row to lock."""
    if before is not None:
        recorder.insert_tracking(Tracking("upstream", before))
    barrier = Barrier(8)

    def insert() -> bool:
        barrier.wait()
        try:
            recorder.insert_tracking(Tracking("upstream", 2))
        except (IntegrityError, OperationalError):  # A deadlock, on some.
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        winners = [threads.submit(insert) for _ in range(8)]
    assert sum(future.result() for future in winners) == 1
    assert recorder.max_tracking_id("upstream") == 2


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
@pytest.mark.parametrize("commits", [True, False])
def test_rival_waits_for_the_outcome(
    recorder: SQLAlchemyTrackingRecorder, commits: bool
) -> None:
    recorder.insert_tracking(Tracking("upstream", 1))
    tracked, released = Event(), Event()

    def first() -> None:
        with recorder.transaction():
            recorder.insert_tracking(Tracking("upstream", 2))
            tracked.set()
            released.wait()
            if not commits:
                raise DeliberateError

    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(first)
        tracked.wait()
        other = threads.submit(recorder.insert_tracking, Tracking("upstream", 2))
        with pytest.raises(TimeoutError):
            other.result(timeout=0.2)
        released.set()
        outcomes = [future.exception() for future in (one, other)]
    assert isinstance(outcomes[0], DeliberateError) is not commits
    assert isinstance(outcomes[1], IntegrityError) is commits
    assert recorder.max_tracking_id("upstream") == 2


def test_duplicate_tracking_stores_no_events(factory: SQLAlchemyFactory) -> None:
    recorder = factory.process_recorder()
    assert recorder.insert_events(new_events(2), Tracking("upstream", 1)) == [1, 2]
    with pytest.raises(IntegrityError):
        recorder.insert_events(new_events(), Tracking("upstream", 1))
    assert recorder.max_notification_id() == 2


def test_conflict_of_events_stores_no_tracking(factory: SQLAlchemyFactory) -> None:
    recorder = factory.process_recorder()
    events = new_events()
    recorder.insert_events(events)
    with pytest.raises(IntegrityError):
        recorder.insert_events(events, Tracking("upstream", 1))
    assert recorder.max_tracking_id("upstream") is None


def test_recorders_that_cannot_track_refuse_to(factory: SQLAlchemyFactory) -> None:
    for recorder in (factory.application_recorder(), factory.aggregate_recorder()):
        with pytest.raises(ProgrammingError, match="use a process recorder"):
            recorder.insert_events(new_events(), tracking=Tracking("upstream", 1))


def test_wait_ends_with_the_commit(
    recorder: SQLAlchemyTrackingRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, by a hint: the next look would come too late."""
    monkeypatch.setattr(tracking, "SHORTEST_PAUSE", 5)
    monkeypatch.setattr(tracking, "LONGEST_PAUSE", 5)
    for position in range(1, 21):
        waiting = Thread(
            target=recorder.wait, args=("upstream", position), kwargs={"timeout": 10}
        )
        waiting.start()
        recorder.insert_tracking(Tracking("upstream", position))
        committed = monotonic()
        waiting.join()
        assert monotonic() - committed < 1


@pytest.mark.needs(Capability.SHARED)
def test_wait_sees_the_commit_of_another_process(
    recorder: SQLAlchemyTrackingRecorder,
    open_factory: OpenFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No hint comes from there, so none is given here either."""
    monkeypatch.setattr(recorder.datastore, "hint", lambda _topic: None)
    other = open_factory().tracking_recorder()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other.wait, "upstream", 1, timeout=10)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        recorder.insert_tracking(Tracking("upstream", 1))
        committed = monotonic()
        waiting.result()
    assert monotonic() - committed < 0.1


@pytest.mark.needs(Capability.SERVER, Capability.TRANSACTIONAL_DDL)
def test_wait_bears_locks(open_factory: OpenFactory) -> None:
    """Of somebody who alters the table, say."""
    recorder = open_factory(SQLALCHEMY_LOCK_TIMEOUT="0.05").tracking_recorder()
    recorder.insert_tracking(Tracking("upstream", 1))
    with ThreadPoolExecutor(1) as threads:
        with recorder.datastore.engine.connect() as altering:
            altering.execute(text("ALTER TABLE es_tracking ADD COLUMN more INTEGER"))
            waiting = threads.submit(recorder.wait, "upstream", 1, timeout=20)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        waiting.result(timeout=20)


def test_wait_times_out(recorder: SQLAlchemyTrackingRecorder) -> None:
    started = monotonic()
    with pytest.raises(TimeoutError, match="has not processed position 1"):
        recorder.wait("upstream", 1, timeout=0.05)
    assert 0.05 <= monotonic() - started < 1


def test_wait_is_interrupted(recorder: SQLAlchemyTrackingRecorder) -> None:
    interrupt = Event()
    wait = partial(recorder.wait, "upstream", 1, timeout=10, interrupt=interrupt)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(wait)
        interrupt.set()
        assert isinstance(waiting.exception(timeout=5), WaitInterruptedError)


@pytest.mark.needs(Capability.NOTIFY)
def test_values_within_the_statement(
    open_factory: OpenFactory, backend: Backend, topic_of: Callable[[object], str]
) -> None:
    """As psycopg's `ClientCursor` sends them, for poolers: no number is too large."""
    arguments = {"cursor_factory": psycopg.ClientCursor}
    engine = create_engine(backend.url, connect_args=arguments)
    factory = open_factory(SQLALCHEMY_ENGINE_TOPIC=topic_of(engine))
    view = factory.tracking_recorder(EventCounters)
    for position in (1, 2):
        view.incr_created_event_counter(Tracking("upstream", position))
    with pytest.raises(IntegrityError):
        view.incr_created_event_counter(Tracking("upstream", 2))
    assert view.get_created_event_counter() == 2
    factory.close()
    engine.dispose()
