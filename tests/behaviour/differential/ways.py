"""The ways of a projection to process an event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from eventsourcing.persistence import IntegrityError, Tracking
from sqlalchemy import Connection, Table, update

from behaviour.differential.steps import declared_fold
from behaviour.differential.tables import counts, observing
from behaviour.differential.view import ComparedView
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import SQLAlchemyTrackingRecorder, upsert

Work: TypeAlias = Callable[[Connection, Callable[..., Any]], None]
Process: TypeAlias = Callable[[ComparedView, Tracking, Work], None]


@dataclass(frozen=True)
class Way:
    """How an event is processed, and whether it then shares a transaction."""

    process: Process
    is_batched: bool

    def __repr__(self) -> str:
        return self.process.__name__


WAYS: list[Way] = []


def way(*, is_batched: bool = True) -> Callable[[Process], Process]:
    """Lets a function be a way of the views that are generated."""

    def add(process: Process) -> Process:
        WAYS.append(Way(process, is_batched))
        return process

    return add


@way()
def processing(view: ComparedView, tracking: Tracking, work: Work) -> None:
    with view.processing(tracking) as connection:
        work(connection, connection.execute)


PROCESSING = WAYS[0]


@way()
def session(view: ComparedView, tracking: Tracking, work: Work) -> None:
    with view.session(tracking) as session:
        work(session.connection(), session.execute)


def _put_by(view: ComparedView, tracking: Tracking, table: Table) -> None:
    row = {"key": "process", "n": tracking.notification_id}
    more = (table.c.n * 3 + tracking.notification_id) % 9973
    view.process(tracking, upsert(table, row, set_={"n": more}))


@way()
def process(view: ComparedView, tracking: Tracking, _work: Work) -> None:
    _put_by(view, tracking, counts)


@way()
def process_with_parameters(
    view: ComparedView, tracking: Tracking, _work: Work
) -> None:
    row = {"key": "process", "by": tracking.notification_id}
    view.process(tracking, declared_fold(counts), row)


@way()
def process_with_sets_of_parameters(
    view: ComparedView, tracking: Tracking, _work: Work
) -> None:
    rows = [{"key": "process", "by": tracking.notification_id + n} for n in range(3)]
    view.process(tracking, declared_fold(counts), rows)


@way()
def process_with_a_trigger(view: ComparedView, tracking: Tracking, _work: Work) -> None:
    _put_by(view, tracking, observing)


@way()
def process_another_statement(
    view: ComparedView, tracking: Tracking, _work: Work
) -> None:
    view.process(tracking, update(counts).values(n=counts.c.n + 1))


@way()
def in_a_transaction(view: ComparedView, tracking: Tracking, work: Work) -> None:
    with view.transaction() as connection, view.processing(tracking):
        work(connection, connection.execute)


@way(is_batched=False)
def in_a_savepoint(view: ComparedView, tracking: Tracking, work: Work) -> None:
    with (
        view.transaction() as connection,
        connection.begin_nested(),
        view.processing(tracking),
    ):
        work(connection, connection.execute)


@way()
def tracked_last(view: ComparedView, tracking: Tracking, work: Work) -> None:
    with view.transaction() as connection:
        work(connection, connection.execute)
        view.insert_tracking(tracking)


@way(is_batched=False)
def passed_over(view: ComparedView, tracking: Tracking, work: Work) -> None:
    def failing(connection: Connection, execute: Callable[..., Any]) -> None:
        work(connection, execute)
        raise DeliberateError

    try:
        processing(view, tracking, failing)
    except DeliberateError:
        view.insert_tracking(tracking)


@way(is_batched=False)
def twice(view: ComparedView, tracking: Tracking, work: Work) -> None:
    processing(view, tracking, work)
    with suppress(IntegrityError):
        processing(view, tracking, work)


@way(is_batched=False)
def in_a_thread(view: ComparedView, tracking: Tracking, work: Work) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(processing, view, tracking, work).result()


@way(is_batched=False)
def in_an_event_loop(view: ComparedView, tracking: Tracking, work: Work) -> None:
    async def run() -> None:
        processing(view, tracking, work)

    asyncio.run(run())


@way()
def with_another_recorder(view: ComparedView, tracking: Tracking, work: Work) -> None:
    """Two projections in one transaction."""
    other = SQLAlchemyTrackingRecorder(view.datastore, name="other")
    with view.transaction():
        other.insert_tracking(tracking)
        processing(view, tracking, work)


@way()
def by_another_view(view: ComparedView, tracking: Tracking, work: Work) -> None:
    processing(type(view)(view.datastore, name=view.name), tracking, work)


@way()
def ignored(_view: ComparedView, _tracking: Tracking, _work: Work) -> None:
    """Does not even track it."""
