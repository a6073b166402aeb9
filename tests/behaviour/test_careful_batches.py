"""Batches that are at fault themselves end, and say so; those that are not, go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    IntegrityError,
    Notification,
    ProgrammingError,
    Tracking,
)
from sqlalchemy import NullPool, create_engine, exc, text
from sqlalchemy.orm import Session

from backends import Backend, Capability
from behaviour.workers import DeliberateError, new_events
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    upsert,
)
from eventsourcing_alchemy.errors import CannotConnectError, LockTimeoutError
from eventsourcing_alchemy.runners import batching
from eventsourcing_alchemy.runners.batching import MOST_FAILURES, Batches
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from positions import Positions

NAME = "upstream"
EVENTS = 40

Process = Callable[[Notification], None]


@pytest.fixture(autouse=True)
def without_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "LONGEST_BATCH", 60.0)


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.WARNING, "eventsourcing_alchemy")
    return lambda: [
        each.getMessage()
        for each in caplog.records
        if each.name == "eventsourcing_alchemy"
    ]


@pytest.fixture
def view(factory: SQLAlchemyFactory) -> Positions:
    return factory.tracking_recorder(Positions)


@pytest.fixture
def notifications(factory: SQLAlchemyFactory) -> Sequence[Notification]:
    upstream: SQLAlchemyApplicationRecorder = factory.application_recorder()
    upstream.insert_events(new_events(EVENTS))
    return upstream.select_notifications(None, EVENTS)


@pytest.fixture
def batches(view: Positions) -> Batches:
    return Batches(view, NAME, EVENTS, lambda: False, ForgottenTracking(view, NAME))


def tracking(notification: Notification) -> Tracking:
    return Tracking(NAME, notification.id)


def work_off(
    batches: Batches, notifications: Sequence[Notification], process: Process
) -> list[int]:
    """Processes all events as a worker does, and passes over those that fail alone.

    Returns:
        How many events were processed in each transaction; 0 for one that failed.
    """
    counts, left = [], list(notifications)
    while left:
        if batches.size > 1 and len(left) > 1:
            count = batches.process(left, process)
        else:
            count = 1
            try:
                process(left[0])
            except (DeliberateError, IntegrityError):
                batches.failed()
            else:
                batches.succeeded(left[0].id)
        counts.append(count)
        del left[:count]
    return counts


def all_once() -> dict[int, int]:
    return dict.fromkeys(range(1, EVENTS + 1), 1)


@contextmanager
def in_thread(view: Positions) -> Iterator[Process]:
    with ThreadPoolExecutor(1) as threads:
        yield lambda n: threads.submit(view.note, tracking(n)).result()


@contextmanager
def in_thread_by_another_view(view: Positions) -> Iterator[Process]:
    with in_thread(Positions(view.datastore, view.name)) as process:
        yield process


@contextmanager
def in_task(view: Positions) -> Iterator[Process]:
    async def process(notification: Notification) -> None:
        view.note(tracking(notification))

    yield lambda n: asyncio.run(process(n))


@contextmanager
def in_a_block(view: Positions) -> Iterator[Process]:
    def process(notification: Notification) -> None:
        with view.processing(tracking(notification)) as connection:
            row = {"position": notification.id, "times": 1}
            connection.execute(upsert(view.positions, row))

    with ThreadPoolExecutor(1) as threads:
        yield lambda n: threads.submit(process, n).result()


@contextmanager
def without_a_view(view: Positions) -> Iterator[Process]:
    def process(notification: Notification) -> None:
        with suppress(ProgrammingError):
            threads.submit(view.insert_tracking, tracking(notification)).result()

    with ThreadPoolExecutor(1) as threads:
        yield process


@pytest.mark.parametrize(
    "elsewhere",
    [in_thread, in_thread_by_another_view, in_task, in_a_block, without_a_view],
)
def test_tracked_in_another_thread_or_task(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
    elsewhere: Any,
) -> None:
    """At once, not after the time that a lock is waited for."""
    with elsewhere(view) as process:
        counts = work_off(batches, notifications, process)
    assert counts == [1, 0, *[1] * (EVENTS - 1)]
    assert view.max_tracking_id(NAME) == EVENTS
    (warning,) = warnings()
    assert "transaction of its own from now on" in warning
    assert "another thread or task" in warning


def read_in_task(view: Positions) -> Any:
    async def read() -> Any:
        return view.all()

    return asyncio.run(read())


def read_in_thread_of_task(view: Positions) -> Any:
    return asyncio.run(asyncio.to_thread(view.all))


def read_the_position(view: Positions) -> Any:
    async def read() -> Any:
        return view.max_tracking_id(NAME)

    return dict.fromkeys(range(asyncio.run(read()) or 0))


def read_and_catch(view: Positions) -> Any:
    with suppress(ProgrammingError):
        return read_in_task(view)
    return {}


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize(
    "read",
    [read_in_task, read_in_thread_of_task, read_the_position, read_and_catch],
)
def test_read_in_another_thread_or_task(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
    read: Callable[[Positions], Any],
) -> None:
    """It would miss the earlier events of the batch."""
    seen: dict[int, int] = {}

    def process(notification: Notification) -> None:
        seen[notification.id] = len(read(view))
        view.note(tracking(notification))

    counts = work_off(batches, notifications, process)
    assert counts == [1, 0, *[1] * (EVENTS - 1)]
    assert seen == {position: position - 1 for position in all_once()}
    (warning,) = warnings()
    assert "another thread or task" in warning


@pytest.mark.needs(Capability.ROW_LOCKS)
def test_tracked_in_another_transaction(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
) -> None:
    def process(notification: Notification) -> None:
        with (
            Session(view.datastore.engine) as session,
            session.begin(),
            view.transaction(session),
        ):
            view.note(tracking(notification))

    counts = work_off(batches, notifications, process)
    assert counts == [1, 0, *[1] * (EVENTS - 1)]
    assert view.all() == all_once()
    (warning,) = warnings()
    assert "in a transaction of its own" in warning


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("is_caught", [False, True])
@pytest.mark.parametrize("fastforward", ["yes", "no"])
def test_saving_to_an_application_that_caches_aggregates(
    env: dict[str, str],
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
    fastforward: str,
    is_caught: bool,
) -> None:
    """After a rollback, later events would follow versions that are not stored."""
    env |= {"AGGREGATE_CACHE_MAXSIZE": "9", "AGGREGATE_CACHE_FASTFORWARD": fastforward}

    def process(notification: Notification) -> None:
        aggregate: Aggregate = application.repository.get(aggregate_id)
        aggregate.trigger_event(Aggregate.Event)
        with suppress(ProgrammingError) if is_caught else nullcontext():
            application.save(aggregate)
        if notification.id == 20 and view.datastore.is_in_transaction():
            raise DeliberateError
        view.note(tracking(notification))

    with Application[UUID](env) as application:
        aggregate = Aggregate()
        application.save(aggregate)
        aggregate_id = aggregate.id
        counts = work_off(batches, notifications, process)
        stored = application.recorder.select_events(aggregate_id)
    versions = [each.originator_version for each in stored]
    assert versions == [*range(1, EVENTS + 2)]
    assert counts == [1, 0, *[1] * (EVENTS - 1)]
    assert view.all() == all_once()
    (warning,) = warnings()
    assert "AGGREGATE_CACHE_MAXSIZE" in warning


def test_fail_while_events_succeed(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
) -> None:
    def process(notification: Notification) -> None:
        if view.datastore.is_in_transaction():
            raise LockTimeoutError("the batch's own lock")
        view.note(tracking(notification))

    counts = work_off(batches, notifications, process)
    assert counts.count(0) == MOST_FAILURES
    assert view.all() == all_once()
    (warning,) = warnings()
    assert "the batch's own lock" in warning


@pytest.mark.needs(Capability.FILE_LOCKS)
def test_a_connection_of_its_own(
    backend: Backend,
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
) -> None:
    engine = create_engine(
        backend.url, poolclass=NullPool, connect_args={"timeout": 0.01}
    )
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE mails (position INTEGER)"))

    def process(notification: Notification) -> None:
        with engine.begin() as connection:
            sending = text("INSERT INTO mails VALUES (:position)")
            connection.execute(sending, {"position": notification.id})
        view.insert_tracking(tracking(notification))

    work_off(batches, notifications, process)
    assert view.max_tracking_id(NAME) == EVENTS
    assert len(warnings()) == 1


@pytest.mark.parametrize(
    "poison", [{2}, {3}, {7, 8, 9, 10, 11}, set(range(5, EVENTS, 6))]
)
def test_events_that_fail_alone_are_not_the_fault_of_batches(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
    poison: set[int],
) -> None:
    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        if notification.id in poison and view.datastore.is_in_transaction():
            raise DeliberateError
        if notification.id in poison:
            raise IntegrityError

    work_off(batches, notifications, process)
    assert view.all() == all_once()
    assert warnings() == []
    assert batches.size > 1


def test_rivals_and_outages_are_not_the_fault_of_batches(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
) -> None:
    """Rivals are as fast, mostly; after each of their events, the database is gone."""

    def process(notification: Notification) -> None:
        if view.datastore.is_in_transaction() and notification.id % 2:
            raise CannotConnectError("gone")
        if notification.id % 2 == 0 and notification.id > len(seen):
            seen.append(notification.id)
            raise view.already_processed(tracking(notification))
        view.note(tracking(notification))

    seen: list[int] = []
    counts = work_off(batches, notifications, process)
    assert counts.count(0) > MOST_FAILURES
    assert warnings() == []


def test_collected_upserts_whose_errors_are_caught(
    view: Positions,
    notifications: Sequence[Notification],
    batches: Batches,
    warnings: Callable[[], list[str]],
) -> None:
    """Their errors come too late for that, so they are not collected any more."""
    positions = view.positions

    def process(notification: Notification) -> None:
        with view.processing(tracking(notification)) as connection:
            row = {"position": notification.id, "times": 1}
            connection.execute(upsert(positions, row))
            if notification.id % 4 == 0:
                with suppress(exc.DBAPIError), connection.begin_nested():
                    connection.execute(upsert(positions, {**row, "times": None}))

    counts = work_off(batches, notifications, process)
    assert view.all() == all_once()
    assert max(counts[-3:]) > 1
    if view.datastore.dialect.collects_upserts:
        (warning,) = warnings()
        assert "executes each statement by itself" in warning
        assert "IntegrityError" in warning
    else:
        assert warnings() == []
