"""Views that use the ORM come out the same in batches as event by event."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from eventsourcing.persistence import Notification, Tracking
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Mapper, Session

from backends import Capability
from behaviour.orm_styles import STYLES, Event, Style, count
from behaviour.orm_tables import Base, Item, OrmView
from behaviour.workers import new_events
from conversations import conversation
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy import metadata as own_metadata
from eventsourcing_alchemy.runners import batching
from eventsourcing_alchemy.runners.batching import Batches
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from triggers_of_tables import after_each_row

NAME = "upstream"
EVENTS = 16

COUNTED = Base.metadata.tables["entries"]

tracked = own_metadata.tables["es_tracking"]


@pytest.fixture(autouse=True)
def without_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "LONGEST_BATCH", 60.0)


@pytest.fixture
def view(factory: SQLAlchemyFactory) -> OrmView:
    for table in (*Base.metadata.tables.values(), tracked):
        table.info.clear()
    return factory.tracking_recorder(OrmView)


@pytest.fixture
def notifications(factory: SQLAlchemyFactory) -> Sequence[Notification]:
    upstream: SQLAlchemyApplicationRecorder = factory.application_recorder()
    upstream.insert_events(new_events(EVENTS))
    return upstream.select_notifications(None, EVENTS)


class Runs:
    """Processes events in a style, and tells what comes of it."""

    def __init__(self, view: OrmView, notifications: Sequence[Notification]) -> None:
        self.view = view
        self.notifications = notifications
        self.sizes: list[int] = []

    def one_by_one(self, style: Style) -> Any:
        def run(process: Callable[[Notification], None]) -> None:
            for each in self.notifications:
                self._process_alone(each, process)

        return self._run(style, run)

    def in_batches(self, style: Style) -> Any:
        return self._run(style, self._work_off)

    def _run(
        self, style: Style, run: Callable[[Callable[[Notification], None]], Any]
    ) -> Any:
        self._empty()
        kept: dict[Any, Any] = {}
        seen: dict[int, Any] = {}

        def process(notification: Notification) -> None:
            now = Event(self.view, Tracking(NAME, notification.id), kept)
            seen[notification.id] = now.seen
            style.process(now)

        run(process)
        return seen, self._rows()

    def _process_alone(
        self, notification: Notification, process: Callable[[Notification], None]
    ) -> bool:
        """Passes over what fails; returns whether it did not."""
        try:
            process(notification)
        except Exception:
            self.view.insert_tracking(Tracking(NAME, notification.id))
            return False
        return True

    def _work_off(self, process: Callable[[Notification], None]) -> None:
        forgotten = ForgottenTracking(self.view, NAME)
        made = Batches(self.view, NAME, EVENTS, lambda: False, forgotten)
        left = [*self.notifications]
        made.size = 4
        self.sizes.clear()
        while left:
            if made.size > 1 and len(left) > 1:
                done = made.process(left, process)
            else:
                done = 1
                if self._process_alone(left[0], process):
                    made.succeeded(left[0].id)
                else:
                    made.failed()
            self.sizes.append(done)
            del left[:done]

    def _rows(self) -> Any:
        with self.view.reading() as connection:
            return {
                table.name: [
                    tuple(row)
                    for row in connection.execute(
                        select(table).order_by(*table.primary_key)
                    )
                ]
                for table in Base.metadata.sorted_tables
            }, self.view.max_tracking_id(NAME)

    def _empty(self) -> None:
        with self.view.transaction() as connection:
            for table in (tracked, *reversed(Base.metadata.sorted_tables)):
                connection.execute(delete(table))
        # As a runner that starts.
        self.view.known.expect(NAME, 0)
        # Its numbers begin anew.
        with self.view.datastore.engine.begin() as connection:
            Base.metadata.drop_all(connection, [COUNTED])
            Base.metadata.create_all(connection, [COUNTED])


@pytest.fixture
def runs(view: OrmView, notifications: Sequence[Notification]) -> Runs:
    return Runs(view, notifications)


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_outcome_is_the_same(runs: Runs, style: Style) -> None:
    expected = runs.one_by_one(style)
    assert runs.in_batches(style) == expected
    if style.is_batched:
        assert max(runs.sizes) > 1, runs.sizes


def counting(key: Callable[[int], str]) -> Style:
    def process(event: Event) -> None:
        with event.view.session(event.tracking) as session:
            count(session, key(event.position))

    return Style(process, is_batched=True)


@pytest.mark.needs(Capability.KNOWN_SIDE_EFFECTS)
def test_what_was_written_is_not_read_again(runs: Runs) -> None:
    """There are no savepoints, one SELECT a row, and a few statements that write."""
    style = counting(lambda position: f"key {position % 2}")
    with conversation(runs.view.datastore.engine) as said:
        runs.in_batches(style)
    batches = said.count("COMMIT")
    items = [each for each in said if "items" in each and "DELETE" not in each]
    selects = [each for each in items if "SELECT" in each]
    assert not [each for each in said if "SAVEPOINT items" in each]
    assert len(selects) <= 2 * batches
    assert len([each for each in items if "UPDATE" in each]) < EVENTS


@contextmanager
def heard(target: Any, name: str, listener: Callable[..., None]) -> Iterator[None]:
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Session, "before_flush"),
        (Session, "after_flush"),
        (Session, "after_commit"),
        (Session, "after_begin"),
        (Session, "pending_to_persistent"),
        (Session, "loaded_as_persistent"),
        (Session, "do_orm_execute"),
        (Item, "before_insert"),
        (Item, "after_update"),
        (Mapper, "before_update"),
        (Item, "load"),
        (Item, "expire"),
    ],
)
def test_listeners_hear_the_same(runs: Runs, target: Any, name: str) -> None:
    style = counting(lambda position: f"key {position % 3}")
    calls: list[str] = []
    with heard(target, name, lambda *_: calls.append(name)):
        runs.one_by_one(style)
        expected = len(calls)
        calls.clear()
        runs.in_batches(style)
    assert len(calls) == expected


def test_triggers_see_each_write(runs: Runs) -> None:
    with runs.view.datastore.engine.begin() as connection:
        after_each_row(
            connection, "items", "INSERT INTO entries (n) SELECT n FROM items"
        )
    style = counting(lambda position: f"key {position % 3}")
    expected = runs.one_by_one(style)
    assert runs.in_batches(style) == expected
