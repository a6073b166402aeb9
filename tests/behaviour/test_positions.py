"""Positions are contiguous, without gaps, and in the order of commits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from threading import Barrier, Event

import pytest
from eventsourcing.persistence import ApplicationRecorder, IntegrityError

from backends import Capability
from behaviour.workers import (
    DeliberateError,
    append,
    ids,
    new_events,
    read_up_to,
    subscribe_up_to,
)
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from factories import OpenFactory
from processes import barrier, in_processes

pytestmark = pytest.mark.observed

GRACE = 0.3
"""Seconds in which what is not waiting would have ended."""


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    recorder = factory.application_recorder()
    assert isinstance(recorder, SQLAlchemyApplicationRecorder)
    return recorder


class Held:
    """A transaction in a thread of its own, held open after it appended events."""

    def __init__(self, recorder: SQLAlchemyApplicationRecorder, count: int) -> None:
        self._recorder = recorder
        self._count = count
        self._appended = Event()
        self._released = Event()
        self._error: Exception | None = None

    def __call__(self) -> None:
        try:
            with self._recorder.transaction():
                self._recorder.insert_events(new_events(self._count))
                self._appended.set()
                self._released.wait()
                if self._error is not None:
                    raise self._error
        finally:
            self._appended.set()

    def commit(self) -> None:
        self._released.set()

    def roll_back(self) -> None:
        self._error = DeliberateError()
        self._released.set()

    @contextmanager
    def open(self) -> Iterator[Future[None]]:
        with ThreadPoolExecutor(1) as threads:
            running = threads.submit(self)
            self._appended.wait()
            assert not running.done()
            try:
                yield running
            finally:
                self._released.set()


@contextmanager
def appending(
    recorder: ApplicationRecorder, threads: int = 1
) -> Iterator[list[Future[Sequence[int] | None]]]:
    with ThreadPoolExecutor(threads) as executor:
        yield [
            executor.submit(recorder.insert_events, new_events())
            for _ in range(threads)
        ]


def all_wait(running: list[Future[Sequence[int] | None]]) -> bool:
    return not wait(running, GRACE, FIRST_COMPLETED).done


def positions(running: list[Future[Sequence[int] | None]]) -> list[int]:
    return sorted(position for each in running for position in each.result() or ())


def test_first_position_is_one(recorder: ApplicationRecorder) -> None:
    assert recorder.max_notification_id() is None
    assert recorder.insert_events(new_events(3)) == [1, 2, 3]
    assert recorder.insert_events(new_events(2)) == [4, 5]
    assert ids(recorder) == [1, 2, 3, 4, 5]
    assert recorder.max_notification_id() == 5


@pytest.mark.parametrize("count", [19, 20, 21, 40, 45])
def test_many_at_once(recorder: ApplicationRecorder, count: int) -> None:
    """However many rows a statement brings, each event has its own position."""
    recorder.insert_events(new_events())
    recorded = [event for _ in range(count) for event in new_events()]
    assert recorder.insert_events(recorded) == list(range(2, count + 2))
    found = recorder.select_notifications(2, count)
    assert [each.id for each in found] == list(range(2, count + 2))
    assert [each.originator_id for each in found] == [
        each.originator_id for each in recorded
    ]


def test_others_wait_to_append(recorder: SQLAlchemyApplicationRecorder) -> None:
    held = Held(recorder, 2)
    with held.open() as first, appending(recorder, threads=4) as others:
        assert all_wait(others)
        held.commit()
        first.result()
        assert positions(others) == [3, 4, 5, 6]
    assert ids(recorder) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("recorded", [0, 5])
def test_who_waited_takes_the_positions_rolled_back(
    recorder: SQLAlchemyApplicationRecorder, recorded: int
) -> None:
    """Also where what is rolled back is the first that an application does."""
    recorder.insert_events(new_events(recorded))
    held = Held(recorder, 2)
    with held.open() as first, appending(recorder, threads=4) as others:
        assert all_wait(others)
        held.roll_back()
        with pytest.raises(DeliberateError):
            first.result()
        assert positions(others) == [recorded + number for number in range(1, 5)]
    assert ids(recorder) == list(range(1, recorded + 5))


@pytest.mark.needs(Capability.MVCC)
def test_readers_do_not_wait(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(new_events())
    held = Held(recorder, 2)
    with held.open(), appending(recorder) as others:
        assert all_wait(others)
        assert ids(recorder) == [1]
        assert recorder.max_notification_id() == 1
        held.commit()
    assert ids(recorder) == [1, 2, 3, 4]


def test_a_transaction_sees_its_own_positions(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.transaction():
        assert recorder.insert_events(new_events(2)) == [1, 2]
        assert recorder.insert_events(new_events()) == [3]
        assert ids(recorder) == [1, 2, 3]
        assert recorder.max_notification_id() == 3


def test_rollback_leaves_no_gap(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(new_events())

    def fail() -> None:
        with recorder.transaction():
            recorder.insert_events(new_events(5))
            raise DeliberateError

    with pytest.raises(DeliberateError):
        fail()
    assert recorder.max_notification_id() == 1
    assert recorder.insert_events(new_events()) == [2]


def test_conflict_leaves_no_gap(recorder: ApplicationRecorder) -> None:
    recorded = new_events(2)
    recorder.insert_events(recorded)
    with pytest.raises(IntegrityError):
        recorder.insert_events([*new_events(2), recorded[1]])
    assert recorder.insert_events(new_events()) == [3]
    assert ids(recorder) == [1, 2, 3]


def test_conflict_among_many_leaves_nothing(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Also of the rows that the same statement has brought before, in a savepoint."""
    recorded = new_events()
    recorder.insert_events(recorded)
    many = [event for _ in range(45) for event in new_events()]
    with recorder.transaction() as connection:
        recorder.insert_events(new_events())
        with pytest.raises(IntegrityError), connection.begin_nested():
            recorder.insert_events([*many[:33], *recorded, *many[33:]])
    assert ids(recorder) == [1, 2]
    assert recorder.insert_events(many) == list(range(3, 48))


@pytest.mark.needs(Capability.SHARED)
def test_each_application_has_its_own(open_factory: OpenFactory) -> None:
    recorders = [open_factory(name).application_recorder() for name in ("One", "Two")]
    for number in range(1, 4):
        for recorder in recorders:
            assert recorder.insert_events(new_events()) == [number]
    assert [ids(recorder) for recorder in recorders] == [[1, 2, 3], [1, 2, 3]]


@pytest.mark.needs(Capability.SERVER)
def test_applications_do_not_wait_for_each_other(open_factory: OpenFactory) -> None:
    one, two = (open_factory(name).application_recorder() for name in ("One", "Two"))
    assert isinstance(one, SQLAlchemyApplicationRecorder)
    two.insert_events(new_events())
    held = Held(one, 1)
    with held.open(), appending(two) as others:
        assert others[0].result(timeout=10) == [2]
        assert ids(two) == [1, 2]
        assert ids(one) == []


def test_threads_share_out_the_positions(recorder: ApplicationRecorder) -> None:
    barrier = Barrier(8)

    def append_ten_batches() -> list[int]:
        barrier.wait()
        batches = [recorder.insert_events(new_events(size)) for size in range(1, 11)]
        return [position for batch in batches for position in batch or ()]

    with ThreadPoolExecutor(8) as threads:
        running = [threads.submit(append_ten_batches) for _ in range(8)]
        taken = [future.result() for future in running]
    assert all(positions == sorted(positions) for positions in taken)
    assert sorted(position for positions in taken for position in positions) == list(
        range(1, 8 * 55 + 1)
    )


@pytest.mark.needs(Capability.SHARED)
def test_no_reader_ever_sees_a_gap(env: dict[str, str]) -> None:
    """Processes append, and roll back, while others read all the time."""
    batches = [
        [1 + (7 * number + writer) % 5 for number in range(30)] for writer in range(4)
    ]
    last = sum(map(sum, batches))
    start = barrier(8)
    writers = [partial(append, env, start, sizes) for sizes in batches]
    readers = [partial(read_up_to, env, start, last)] * 2
    followers = [partial(subscribe_up_to, env, start, last)] * 2

    results = in_processes([*writers, *readers, *followers])

    taken, pages, followed = results[:4], results[4:6], results[6:]
    everything = list(range(1, last + 1))
    assert (
        sorted(position for positions in taken for position in positions) == everything
    )
    assert followed == [everything, everything]
    assert all(len(ends) > 1 for ends in pages), "too late to see anything happen"


def test_application_that_nobody_has_registered(factory: SQLAlchemyFactory) -> None:
    """Its first append does so, in the same transaction."""
    recorder = SQLAlchemyApplicationRecorder(factory.datastore, "unregistered")
    recorder.create_table()
    assert recorder.insert_events(new_events(2)) == [1, 2]
    assert ids(recorder) == [1, 2]


@pytest.mark.parametrize(
    ("change", "position"), [("id = id + 100", 2), ("last_notification_id = 7", 8)]
)
def test_row_of_the_application_that_others_change(
    recorder: SQLAlchemyApplicationRecorder, change: str, position: int
) -> None:
    """Nothing that was known of it is believed."""
    recorder.insert_events(new_events())
    with recorder.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE es_applications SET {change}")  # noqa: S608
    assert recorder.insert_events(new_events()) == [position]
    assert recorder.insert_events(new_events()) == [position + 1]
    found = recorder.select_notifications(2, 10)
    assert [each.id for each in found] == [position, position + 1]
