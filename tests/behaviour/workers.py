"""What tests run in other processes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.synchronize import Barrier
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import ApplicationRecorder, StoredEvent

from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from factories import construct_factory


class DeliberateError(Exception):
    """Rolls a transaction back."""


def new_events(count: int = 1) -> list[StoredEvent]:
    """The first events of a new aggregate."""
    originator_id = uuid4()
    return [
        StoredEvent(originator_id, version, "topic", b"state")
        for version in range(1, count + 1)
    ]


def ids(recorder: ApplicationRecorder, after: int | None = None) -> list[int]:
    """The positions that a reader sees."""
    page = recorder.select_notifications(after, 1000, inclusive_of_start=False)
    return [notification.id for notification in page]


@contextmanager
def application_recorder(
    env: Mapping[str, str],
) -> Iterator[SQLAlchemyApplicationRecorder]:
    """The recorder of an application, for a process without fixtures."""
    factory = construct_factory("Application", env)
    try:
        recorder = factory.application_recorder()
        assert isinstance(recorder, SQLAlchemyApplicationRecorder)
        yield recorder
    finally:
        factory.close()


def append(env: Mapping[str, str], start: Barrier, sizes: list[int]) -> list[int]:
    """Append batches of these sizes, each after one that is rolled back."""
    positions: list[int] = []
    with application_recorder(env) as recorder:
        start.wait()
        for size in sizes:
            with suppress(DeliberateError), recorder.transaction():
                recorder.insert_events(new_events(size))
                raise DeliberateError
            positions.extend(recorder.insert_events(new_events(size)) or ())
    return positions


def read_up_to(env: Mapping[str, str], start: Barrier, last: int) -> list[int]:
    """Read continuously, up to the position; fail where one is not the next.

    Returns:
        The last position of each page that had something on it.
    """
    position, ends = 0, []
    with application_recorder(env) as recorder:
        start.wait()
        deadline = time.monotonic() + 45
        while position < last:
            assert time.monotonic() < deadline, f"saw nothing after {position}"
            newest = recorder.max_notification_id() or 0
            page = ids(recorder, after=position)
            expected = list(range(position + 1, position + 1 + len(page)))
            assert page == expected, f"after {position} came {page}"
            position += len(page)
            assert position >= newest, f"{newest} was the newest, then {position}"
            if page:
                ends.append(position)
    return ends


def subscribe_up_to(env: Mapping[str, str], start: Barrier, last: int) -> list[int]:
    """The positions that a subscription yields, up to the last one."""
    positions = []
    with (
        application_recorder(env) as recorder,
        recorder.subscribe(gt=None) as subscription,
    ):
        start.wait()
        for notification in subscription:
            positions.append(notification.id)
            if notification.id >= last:
                break
    return positions


def come_up(env: Mapping[str, str], start: Barrier) -> int | None:
    """Start an application, record an event, read it; the event's position."""
    start.wait()
    with Application[UUID](env) as application:
        try:
            aggregate = Aggregate()
            recordings = application.save(aggregate)
            assert application.repository.get(aggregate.id) == aggregate
            return recordings[0].notification.id
        finally:
            application.close()
