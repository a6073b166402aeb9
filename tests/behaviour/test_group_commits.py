"""Threads that append to one application at the same time."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from threading import Barrier, Event, Semaphore, get_ident
from types import FrameType
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    InterfaceError,
    PersistenceError,
    StoredEvent,
)

from backends import Capability
from behaviour.workers import DeliberateError, ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.database import engines
from eventsourcing_alchemy.database import group_commit as group_commits
from eventsourcing_alchemy.database.group_commit import (
    GroupCommit,
    Request,
    Size,
    last_positions,
)
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.errors import AbandonedError
from factories import OpenFactory
from interrupts import Interrupted
from processes import forking, in_forks
from triggers_of_tables import refuse_rows

Append = Callable[[], Sequence[int] | None]
Events = Sequence[StoredEvent]
Outcome = Sequence[int] | BaseException | None


class UnreadableUUID(UUID):
    """Passes for an ID until the driver takes it."""

    @property
    def bytes(self) -> bytes:
        msg = "unreadable"
        raise TypeError(msg)


grouped = pytest.mark.needs(Capability.SHARED)
"""An in-memory database has one connection, for which threads take turns."""


def size(events: Events) -> Size:
    return Size(len(events), sum(sys.getsizeof(event.state) for event in events))


class EventQueue(GroupCommit[Events]):
    """Those who append events, by a function that takes the events of all."""

    def store(self, events: Events, append: Callable[[Events], int]) -> int:
        def append_all(group: Sequence[Events]) -> Sequence[int]:
            last = append([event for events in group for event in events])
            return last_positions(last, group)

        return self.append(events, size, append_all)


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> Semaphore:
    """Counts those who have joined a queue, or need not."""
    joined = Semaphore(0)
    join, process = GroupCommit._join, os.getpid()
    lead_nobody = GroupCommit._lead_nobody

    def join_and_tell(group_commit: GroupCommit[Any], request: Any) -> None:
        join(group_commit, request)
        # A child may be born while a thread of its parent holds the semaphore.
        if os.getpid() == process:
            joined.release()

    def tell_and_lead(group_commit: GroupCommit[Any], *arguments: Any) -> int:
        if os.getpid() == process:
            joined.release()
        return lead_nobody(group_commit, *arguments)

    monkeypatch.setattr(GroupCommit, "_join", join_and_tell)
    monkeypatch.setattr(GroupCommit, "_lead_nobody", tell_and_lead)
    return joined


@pytest.fixture
def recorder(open_factory: OpenFactory) -> SQLAlchemyApplicationRecorder:
    return open_factory().application_recorder()


def noting_appends(
    recorder: SQLAlchemyApplicationRecorder,
    monkeypatch: pytest.MonkeyPatch,
    after: Callable[[int], None] = lambda _: None,
) -> list[int]:
    """Of each append to the database from now on, the number of events.

    Args:
        recorder: of the database.
        monkeypatch: undoes it.
        after: is told the number when they are stored, perhaps not committed.
    """
    sizes: list[int] = []
    dialect = recorder.datastore.dialect
    append = dialect.append

    def note(*arguments: Any, **options: Any) -> int:
        sizes.append(len(arguments[3]))
        last = append(*arguments, **options)
        after(len(arguments[3]))
        return last

    monkeypatch.setattr(dialect, "append", note)
    return sizes


@contextmanager
def one_group(
    recorder: SQLAlchemyApplicationRecorder, joined: Semaphore, *calls: Append
) -> Iterator[list[Future[Sequence[int] | None]]]:
    """Calls what appends in threads; the first leads the others, in this order.

    They wait for one that leads none, which waits for a transaction: that of the block.
    """
    with ThreadPoolExecutor(len(calls) + 1) as threads:
        with recorder.transaction():
            recorder.insert_events(new_events())
            first = threads.submit(recorder.insert_events, new_events())
            assert joined.acquire(timeout=10)
            futures = []
            for call in calls:
                futures.append(threads.submit(call))
                assert joined.acquire(timeout=10)
            yield futures
        assert first.result(timeout=20)


def outcomes(futures: Sequence[Future[Sequence[int] | None]]) -> list[Outcome]:
    return [each.exception(timeout=20) or each.result() for each in futures]


def positions_of(
    recorder: SQLAlchemyApplicationRecorder, events: Sequence[StoredEvent]
) -> list[int]:
    """Where the events are stored, in the order of positions."""
    own = {(each.originator_id, each.originator_version) for each in events}
    return [
        each.id
        for each in recorder.select_notifications(None, 1000)
        if (each.originator_id, each.originator_version) in own
    ]


@grouped
def test_share_a_transaction(
    recorder: SQLAlchemyApplicationRecorder,
    joined: Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = noting_appends(recorder, monkeypatch)
    batches = [new_events(count) for count in (1, 3, 2)]
    calls = [partial(recorder.insert_events, batch) for batch in batches]
    with one_group(recorder, joined, *calls) as futures:
        pass
    assert outcomes(futures) == [[3], [4, 5, 6], [7, 8]]
    assert sizes == [1, 1, 6]
    for batch, positions in zip(batches, outcomes(futures), strict=True):
        assert positions_of(recorder, batch) == positions


@grouped
def test_who_has_shared_waits_a_moment_for_the_others(
    recorder: SQLAlchemyApplicationRecorder,
    joined: Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first to come back does not append alone; who does, waits for nobody."""
    calls = [partial(recorder.insert_events, new_events()) for _ in range(2)]
    with one_group(recorder, joined, *calls):
        pass
    sizes = noting_appends(recorder, monkeypatch)
    others_came = Semaphore(0)
    with ThreadPoolExecutor(2) as threads, monkeypatch.context() as patch:
        patch.setattr(group_commits, "sleep", lambda _: others_came.acquire(timeout=10))
        futures = [threads.submit(recorder.insert_events, new_events())]
        assert joined.acquire(timeout=10)
        futures.append(threads.submit(recorder.insert_events, new_events()))
        assert joined.acquire(timeout=10)
        others_came.release()
        assert outcomes(futures) == [[5], [6]]
    assert sizes == [2]
    recorder.insert_events(new_events())
    monkeypatch.setattr(group_commits, "sleep", None)
    recorder.insert_events(new_events())
    assert sizes == [2, 1, 1]


@grouped
def test_large_events_do_not_share(
    recorder: SQLAlchemyApplicationRecorder,
    joined: Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is too much for the database is nothing to the others."""
    monkeypatch.setattr(group_commits, "LARGEST_GROUP", 5)
    sizes = noting_appends(recorder, monkeypatch)
    large = StoredEvent(uuid4(), 1, "topic", bytes(group_commits.LARGEST_GROUP_BYTES))
    batches = [new_events(), [large], new_events(4), new_events(), new_events()]
    calls = [partial(recorder.insert_events, batch) for batch in batches]
    with one_group(recorder, joined, *calls) as futures:
        pass
    assert outcomes(futures) == [[3], [4], [5, 6, 7, 8], [9], [10]]
    assert sizes == [1, 1, 1, 1, 5, 1]


@grouped
@pytest.mark.parametrize("guilty", [0, 1])
@pytest.mark.parametrize("error", [IntegrityError, DataError])
def test_error_is_that_of_one(
    recorder: SQLAlchemyApplicationRecorder,
    joined: Semaphore,
    guilty: int,
    error: type[Exception],
) -> None:
    batches = [new_events(2), new_events(2), new_events(2)]
    taken = batches[guilty][1]
    if error is DataError:
        unreadable = UnreadableUUID(str(taken.originator_id))
        batches[guilty].append(StoredEvent(unreadable, 3, "topic", b"state"))
    else:
        recorder.insert_events([taken])
    calls = [partial(recorder.insert_events, batch) for batch in batches]
    with one_group(recorder, joined, *calls) as futures:
        pass
    found = outcomes(futures)
    assert isinstance(found.pop(guilty), error)
    del batches[guilty]
    assert [positions_of(recorder, batch) for batch in batches] == found
    last = recorder.max_notification_id() or 0
    assert ids(recorder) == list(range(1, last + 1))


@grouped
@pytest.mark.parametrize("guilty", [0, 1])
def test_refusal_is_that_of_one(
    recorder: SQLAlchemyApplicationRecorder, joined: Semaphore, guilty: int
) -> None:
    """The database may refuse some events for what they are, and not others."""
    with recorder.datastore.engine.begin() as connection:
        refuse_rows(connection, "es_events", "NEW.topic = 'refused'")
    batches = [new_events(), new_events(), new_events()]
    batches[guilty] = [StoredEvent(uuid4(), 1, "refused", b"state")]
    calls = [partial(recorder.insert_events, batch) for batch in batches]
    with one_group(recorder, joined, *calls) as futures:
        pass
    found = outcomes(futures)
    assert isinstance(found.pop(guilty), PersistenceError)
    del batches[guilty]
    assert [positions_of(recorder, batch) for batch in batches] == found


@grouped
def test_interrupted_leader(
    recorder: SQLAlchemyApplicationRecorder,
    joined: Semaphore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is interrupted; what the others append is stored, and once."""

    def interrupt(count: int) -> None:
        if count > 2:
            raise KeyboardInterrupt

    noting_appends(recorder, monkeypatch, interrupt)
    batches = [new_events(), new_events(), new_events()]
    calls = [partial(recorder.insert_events, batch) for batch in batches]
    with one_group(recorder, joined, *calls) as futures:
        pass
    interrupted, *others = outcomes(futures)
    assert isinstance(interrupted, KeyboardInterrupt)
    assert [positions_of(recorder, batch) for batch in batches[1:]] == others
    last = recorder.max_notification_id() or 0
    assert ids(recorder) == list(range(1, last + 1))


@grouped
def test_signal_handler_that_raises_while_its_thread_waits(
    recorder: SQLAlchemyApplicationRecorder, joined: Semaphore
) -> None:
    """Who gives up waiting has stored nothing, and holds up nobody."""
    mine, theirs = new_events(), new_events()
    main = get_ident()

    def interrupt() -> None:
        assert joined.acquire(timeout=10)
        # One that comes just before the wait does not end it.
        while not handled.wait(0.05):
            signal.pthread_kill(main, signal.SIGUSR1)

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if not handled.is_set():
            handled.set()
            raise DeliberateError

    handled = Event()
    before = signal.signal(signal.SIGUSR1, handle)
    ended = Event()

    def hold() -> list[Outcome]:
        with one_group(recorder, joined) as futures:
            interrupting = threads.submit(interrupt)
            held.set()
            assert ended.wait(10)
            interrupting.result()
        return outcomes(futures)

    held = Event()
    try:
        with ThreadPoolExecutor(2) as threads:
            holding = threads.submit(hold)
            assert held.wait(10)
            with pytest.raises(DeliberateError):
                recorder.insert_events(mine)
            ended.set()
            holding.result(timeout=20)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert positions_of(recorder, mine) == []
    assert recorder.insert_events(theirs) == [3]


def test_who_is_gone_holds_up_nobody() -> None:
    """A thread that was interrupted once more, when it left the queue."""
    group_commit = EventQueue(BaseDialect())
    gone = new_events(3)
    stored: list[StoredEvent] = []

    def append(events: Sequence[StoredEvent]) -> int:
        stored.extend(events)
        return len(stored)

    group_commit._join(Request(gone, size))
    assert group_commit.store(new_events(2), append) == 5
    assert stored[:3] == gone
    assert group_commit.store(new_events(), append) == 6


def test_signal_handler_that_appends() -> None:
    """It has interrupted its own thread, for which it must not wait."""
    group_commit = EventQueue(BaseDialect())
    handled: list[int] = []

    def append(events: Sequence[StoredEvent]) -> int:
        handled.append(group_commit.store(events, len))
        return len(events)

    with ThreadPoolExecutor(1) as threads:
        appending = threads.submit(group_commit.store, new_events(2), append)
        assert appending.result(timeout=10) == 2
    assert handled == [2]


@grouped
def test_leader_whose_factory_is_closed(
    recorder: SQLAlchemyApplicationRecorder,
    joined: Semaphore,
    open_factory: OpenFactory,
) -> None:
    closed = open_factory()
    leader = closed.application_recorder()
    with one_group(
        recorder,
        joined,
        lambda: leader.insert_events(new_events()),
        lambda: recorder.insert_events(new_events()),
    ) as futures:
        closed.close()
    refused, appended = outcomes(futures)
    assert isinstance(refused, InterfaceError)
    assert appended == [3]


@grouped
def test_many_applications(
    monkeypatch: pytest.MonkeyPatch, open_factory: OpenFactory
) -> None:
    """A process that has appended to very many does not remember all of them."""
    monkeypatch.setattr(engines, "KEPT_GROUP_COMMITS", 2)
    datastore = open_factory().datastore
    for name in "abcd":
        recorder = SQLAlchemyApplicationRecorder(datastore, name)
        recorder.create_table()
        assert recorder.insert_events(new_events()) == [1]
    assert datastore._shared.group_commit.cache_info().currsize == 2


@grouped
def test_transactions_do_not_join(
    recorder: SQLAlchemyApplicationRecorder, joined: Semaphore
) -> None:
    def roll_back() -> None:
        with suppress(DeliberateError), recorder.transaction():
            recorder.insert_events(new_events())
            assert not joined.acquire(blocking=False)
            raise DeliberateError

    roll_back()
    assert recorder.insert_events(new_events()) == [1]
    assert joined.acquire(blocking=False)


def test_threads_that_append_what_they_can(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Each gets the positions at which its own events are, and there are no gaps."""
    taken = new_events()
    recorder.insert_events(taken)
    start = Barrier(8, timeout=10)

    def work(number: int) -> None:
        start.wait()
        for turn in range(12):
            batch = new_events(1 + (number + turn) % 3)
            if turn % 4 == 3:
                with pytest.raises(IntegrityError):
                    recorder.insert_events([*batch, *taken])
            elif turn % 4 == 1:
                with suppress(DeliberateError), recorder.transaction():
                    recorder.insert_events(new_events())
                    raise DeliberateError
            assert positions_of(recorder, batch) == []
            positions = recorder.insert_events(batch)
            assert positions_of(recorder, batch) == positions

    with ThreadPoolExecutor(8) as threads:
        for future in [threads.submit(work, number) for number in range(8)]:
            future.result(timeout=60)
    last = recorder.max_notification_id() or 0
    assert ids(recorder) == list(range(1, last + 1))


@pytest.mark.needs(Capability.SERVER)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_fork_while_a_group_waits(
    recorder: SQLAlchemyApplicationRecorder, joined: Semaphore
) -> None:
    """The child's queue is its own: nobody in it leads."""
    forked = forking.Event()

    def child() -> Sequence[int] | None:
        forked.set()
        return recorder.insert_events(new_events())

    def hold() -> list[Outcome]:
        calls = [lambda: recorder.insert_events(new_events())] * 2
        with one_group(recorder, joined, *calls) as futures:
            held.set()
            assert forked.wait(10)
        return outcomes(futures)

    held = Event()
    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(hold)
        assert held.wait(10)
        ((position,),) = in_forks([child])  # type: ignore[misc]
        positions = [*holding.result(timeout=20), [position]]
    # The child may be first, last, or between the one who held them up and the group.
    expected = [3, 4, 5], [2, 3, 4], [2, 4, 5]
    assert sorted(each[0] for each in positions) in expected  # type: ignore[index]


@pytest.mark.parametrize("fails", [False, True])
def test_interrupted_anywhere(
    joined: Semaphore, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a signal handler interrupts, nobody waits for ever."""
    monkeypatch.setattr(group_commits, "LONGEST_WAIT", 0.01)
    # Which thread leads is not certain on a busy machine, nor how far it gets.
    functions = {interrupted_at(point, joined, fails) for point in range(110)}
    methods = {"append", "_append", "_join", "_lead", "_take_group", "_leave"}
    assert functions >= {"__init__", *methods}
    assert not fails or "_may_be_of_another" in functions


def refuse(_: Sequence[StoredEvent]) -> int:
    raise IntegrityError


def interrupted_at(point: int, joined: Semaphore, fails: bool) -> str | None:
    """Interrupts one that leads another, and tells in which function, if it got there.

    Args:
        point: how many points to let it pass before.
        joined: counts those who have joined the queue.
        fails: whether what it appends is refused.
    """
    group_commit = EventQueue(BaseDialect())
    interrupted = Interrupted(point, {group_commits.__file__})
    inside, may_end = Event(), Event()
    stored: list[StoredEvent] = []

    def append(events: Sequence[StoredEvent]) -> int:
        stored.extend(events)
        return len(stored)

    def hold(events: Sequence[StoredEvent]) -> int:
        inside.set()
        assert may_end.wait(10)
        return append(events)

    def lead() -> None:
        sys.settrace(interrupted)
        try:
            group_commit.store(new_events(), refuse if fails else append)
        except (KeyboardInterrupt, IntegrityError):
            pass
        finally:
            sys.settrace(None)
            joined.release()

    def follow(events: Sequence[StoredEvent]) -> None:
        with suppress(AbandonedError):
            position = group_commit.store(events, append)
            assert stored[position - 1] is events[-1]

    with ThreadPoolExecutor(4) as threads:
        holding = threads.submit(group_commit.store, new_events(), hold)
        assert inside.wait(10)
        assert joined.acquire(timeout=10)
        leading = threads.submit(lead)
        assert joined.acquire(timeout=10)
        following = [threads.submit(follow, new_events(2)) for _ in range(2)]
        for _ in following:
            assert joined.acquire(timeout=10)
        may_end.set()
        every: list[Future[Any]] = [holding, leading, *following]
        for each in every:
            each.result(timeout=10)
    assert group_commit.store(new_events(), append) == len(stored)
    while joined.acquire(blocking=False):
        pass
    return interrupted.function
