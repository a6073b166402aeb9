"""Batches: events that are there already are processed in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from time import sleep
from typing import Any, ClassVar

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import (
    IntegrityError,
    Notification,
    ProgrammingError,
    Tracking,
)
from eventsourcing.projection import EventSourcedProjection

from backends import Capability
from behaviour.workers import DeliberateError, new_events
from conversations import conversation
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.runners import batching as batches
from eventsourcing_alchemy.runners.batching import Batches, can_share_transactions
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from positions import Positions

NAME = "upstream"


@pytest.fixture
def view(factory: SQLAlchemyFactory) -> Positions:
    return factory.tracking_recorder(Positions)


@pytest.fixture
def upstream(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


@pytest.fixture
def notifications(upstream: SQLAlchemyApplicationRecorder) -> Sequence[Notification]:
    upstream.insert_events(new_events(500))
    return upstream.select_notifications(None, 500)


def tracking(notification: Notification) -> Tracking:
    return Tracking(NAME, notification.id)


def large(view: Positions, is_to_stop: Callable[[], bool] = lambda: False) -> Batches:
    made = Batches(view, NAME, 500, is_to_stop, ForgottenTracking(view, NAME))
    made.size = 500
    return made


@pytest.fixture(autouse=True)
def without_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LONGEST_BATCH", 60.0)


@pytest.mark.needs(Capability.KNOWN_SIDE_EFFECTS)
def test_is_one_transaction_with_two_records_of_the_position(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    view.note(Tracking(NAME, 0))
    with conversation(view.datastore.engine) as said:
        count = large(view).process(notifications, lambda n: view.note(tracking(n)))
    assert count == 500
    assert said.count("COMMIT") == 1
    assert len([each for each in said if "es_tracking" in each]) == 2
    assert view.max_tracking_id(NAME) == 500
    assert view.all() == dict.fromkeys(range(501), 1)


def test_one_that_fails_undoes_it(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    made = large(view)

    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        if notification.id == 300:
            raise DeliberateError

    assert made.process(notifications, process) == 0
    assert made.size == 1
    assert view.all() == {}
    assert view.max_tracking_id(NAME) is None


def test_one_that_fails_is_alone_soon(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    made, left, tries = large(view), list(notifications), 0

    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        if notification.id == 300:
            raise DeliberateError

    while left[0].id != 300 or made.size != 1:
        tries += 1
        del left[: made.process(left, process)]
    assert tries < 60
    assert view.all() == dict.fromkeys(range(1, 300), 1)


def test_sees_what_it_has_written(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    seen = []

    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        seen.append((len(view.all()), view.max_tracking_id(NAME)))

    large(view).process(notifications[:5], process)
    assert seen == [(n, n) for n in range(1, 6)]


def test_options_of_a_connection_are_those_of_one_event(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    seen = []

    def process(notification: Notification) -> None:
        with view.processing(tracking(notification)) as connection:
            seen.append(connection.get_execution_options().get("mine"))
            connection.execution_options(mine=notification.id)

    large(view).process(notifications[:3], process)
    assert seen == [None, None, None]


def test_refuses_what_was_processed_within_it(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    errors = []

    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        if notification.id == 3:
            with pytest.raises(IntegrityError, match="already processed") as error:
                view.note(Tracking(NAME, 2))
            errors.append(error)

    # Caught or not, a part of the transaction has failed.
    assert large(view).process(notifications[:5], process) == 0
    assert errors


def test_savepoint_that_takes_a_position_back(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    """What it took back is not recorded with the others, but by none of them."""
    said: list[str] = []

    def process(notification: Notification) -> None:
        with view.transaction() as connection:
            if notification.id != 3:
                with suppress(DeliberateError), connection.begin_nested():
                    view.note(tracking(notification))
                    raise DeliberateError
            else:
                with conversation(view.datastore.engine) as heard:
                    view.note(tracking(notification))
                said.extend(heard)

    assert large(view).process(notifications[:4], process) == 4
    assert view.all() == {3: 1}
    assert view.max_tracking_id(NAME) == 3
    # Which makes rivals wait, and is refused where one was faster.
    assert any("es_tracking" in each for each in said)


def test_refuses_what_a_rival_has_processed(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    view.note(Tracking(NAME, 5))
    processed = []

    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        processed.append(notification.id)

    assert large(view).process(notifications[:10], process) == 0
    assert processed == []
    assert view.all() == {5: 1}


def test_ends_where_it_is_to_stop(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    made = large(view, is_to_stop=lambda: view.max_tracking_id(NAME) == 7)
    assert made.process(notifications, lambda n: view.note(tracking(n))) == 7
    assert view.max_tracking_id(NAME) == 7


def test_ends_when_it_is_old(
    view: Positions,
    notifications: Sequence[Notification],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "LONGEST_BATCH", 0.0)
    few = notifications[:5]
    assert large(view).process(few, lambda n: view.note(tracking(n))) == 1
    assert view.max_tracking_id(NAME) == 1


@pytest.mark.needs(Capability.MVCC)
def test_ends_later_while_there_is_a_backlog_and_nobody_waits(
    view: Positions,
    notifications: Sequence[Notification],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "LONGEST_BATCH", 0.0)
    monkeypatch.setattr(batches, "LONGEST_BATCH_BEHIND", 60.0)
    made, left, counts = large(view), list(notifications), []
    made.found(500)

    def process(notification: Notification) -> None:
        view.note(tracking(notification))
        if notification.id == 100:
            waiting.append(threads.submit(view.wait, NAME, 100, 10.0))
            while not view.is_awaited():
                sleep(0.001)

    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(1) as threads:
        counts.append(made.process(left, process))
        waiting[0].result()
        more = Batches(view, NAME, 400, lambda: False, ForgottenTracking(view, NAME))
        more.size = 300
        more.found(400)
        counts.append(more.process(left[100:], process))
        counts.append(more.process(left[400:], process))
    assert counts == [100, 300, 100]


def test_grow_while_nothing_fails(
    view: Positions, notifications: Sequence[Notification]
) -> None:
    made, left, counts = (
        Batches(view, NAME, 100, lambda: False, ForgottenTracking(view, NAME)),
        list(notifications),
        [],
    )
    while left:
        counts.append(made.process(left, lambda n: view.note(tracking(n))))
        del left[: counts[-1]]
    assert counts == [1, 2, 4, 8, 16, 32, 64, 100, 100, 100, 73]


def test_what_is_ready_is_taken_without_the_database(
    upstream: SQLAlchemyApplicationRecorder,
) -> None:
    upstream.insert_events(new_events(10))
    with upstream.subscribe() as subscription:
        assert next(subscription).id == 1
        with conversation(upstream.datastore.engine) as said:
            assert [each.id for each in subscription.ready(3)] == [2, 3, 4]
            assert [each.id for each in subscription.ready(100)] == list(range(5, 11))
            assert subscription.ready(100) == []
        assert said == []
        assert subscription.position == 10


class Caching(EventSourcedProjection[Any]):
    """With a cache, which no rollback reaches."""

    env: ClassVar[dict[str, str]] = {"AGGREGATE_CACHE_MAXSIZE": "10"}

    def policy(self, domain_event: Any, processing_event: Any) -> None:
        """Does nothing."""


class Telling(Caching):
    """Tells of events before they are committed."""

    env: ClassVar[dict[str, str]] = {}

    def notify(self, new_events: Any) -> None:
        """Tells nobody."""


class Plain(Caching):
    """With neither of them."""

    env: ClassVar[dict[str, str]] = {}


@pytest.mark.parametrize(("of_class", "can"), [(Caching, 0), (Telling, 0), (Plain, 1)])
def test_event_sourced_projections(of_class: type[Caching], can: int) -> None:
    with of_class() as projection:
        assert can_share_transactions(projection) == can


@pytest.mark.parametrize("batch_size", [0, -1, "many", 2.5])
def test_size_that_does_not_fit(batch_size: Any) -> None:
    arguments: dict[str, Any] = {"batch_size": batch_size}
    with pytest.raises(ProgrammingError, match=r"batch_size is .*: expected 1 or more"):
        SQLAlchemyProjectionRunner(
            application_class=Application,
            projection_class=Plain,  # type: ignore[arg-type]
            view_class=Positions,
            **arguments,
        )
