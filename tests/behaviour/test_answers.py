"""Event-sourced projections, event by event: what goes wrong beside their events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar
from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.projection import EventSourcedProjection

from backends import Capability
from eventsourcing_alchemy import (
    Backoff,
    PoisonPolicy,
    SQLAlchemyAggregateRecorder,
    SQLAlchemyEventSourcedProjectionRunner,
    errors,
)

pytestmark = [pytest.mark.needs(Capability.SHARED), pytest.mark.observed]

QUICK = Backoff(first=0.001, longest=0.001)


class Parcels(Application[UUID]):
    def send(self) -> int:
        return self.save(Aggregate())[-1].notification.id


class Counter(Aggregate):
    ID = uuid5(NAMESPACE_URL, "/counter")

    @event("Started")
    def __init__(self) -> None:
        self.count = 0

    @event("Raised")
    def increment(self) -> None:
        self.count += 1

    @event("Marked")
    def mark(self) -> None:
        pass

    @staticmethod
    def create_id() -> UUID:
        return Counter.ID


class Counters(EventSourcedProjection[UUID]):
    name = "counters"
    snapshotting_intervals: ClassVar[dict[Any, int]] = {Counter: 2}
    before_recording: ClassVar[Callable[[], None]]

    def policy(self, domain_event: Any, processing_event: Any) -> None:  # noqa: ARG002
        counter = self.counter() or Counter()
        counter.increment()
        type(self).before_recording()
        processing_event.collect_events(counter)

    def counter(self) -> Counter | None:
        try:
            return self.repository.get(Counter.ID)
        except AggregateNotFoundError:
            return None

    def mark(self) -> None:
        counter = self.counter()
        assert counter is not None
        counter.mark()
        self.save(counter)


class CountersWithoutSnapshots(Counters):
    snapshotting_intervals: ClassVar[dict[Any, int]] = {}


Runner = SQLAlchemyEventSourcedProjectionRunner[Parcels, Counters]


@contextmanager
def running(
    env: dict[str, str], projection_class: type[Counters] = Counters
) -> Iterator[Runner]:
    """Makes dead letters of what fails twice."""
    policy = PoisonPolicy(attempts=2, backoff=QUICK, dead_letter=True)
    Counters.before_recording = lambda: None
    with SQLAlchemyEventSourcedProjectionRunner(
        application_class=Parcels,
        projection_class=projection_class,
        env=env,
        poison=policy,
        batch_size=1,
    ) as runner:
        yield runner


def outcome(runner: Runner) -> tuple[int, Sequence[Any]]:
    counter = runner.projection.counter()
    return 0 if counter is None else counter.count, runner.dead_letters.select()


def test_snapshot_that_cannot_be_stored_for_the_moment(
    env: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The event has been processed, and is not processed again."""
    failures = [errors.LockTimeoutError("for the moment") for _ in range(1)]
    insert_events = SQLAlchemyAggregateRecorder.insert_events

    def refused(recorder: Any, *arguments: Any, **options: Any) -> Any:
        if recorder.purpose == "snapshots" and failures:
            raise failures.pop()
        return insert_events(recorder, *arguments, **options)

    monkeypatch.setattr(SQLAlchemyAggregateRecorder, "insert_events", refused)
    with running(env) as runner:
        for _ in range(4):
            runner.wait(runner.app.send(), timeout=10)
        assert outcome(runner) == (4, [])
        assert failures == []
        assert [each.originator_version for each in _snapshots(runner)] == [4]
    assert "processed position 1 of 'Parcels', and could not store" in caplog.text


def _snapshots(runner: Runner) -> Sequence[Any]:
    assert runner.projection.snapshots is not None
    return [*runner.projection.snapshots.get(Counter.ID)]


def test_another_writer_of_an_aggregate_was_faster(env: dict[str, str]) -> None:
    with (
        running(env, CountersWithoutSnapshots) as runner,
        CountersWithoutSnapshots(env) as other,
    ):
        runner.wait(runner.app.send(), timeout=10)
        marks = [other.mark] * 2
        Counters.before_recording = lambda: marks.pop()() if marks else None
        runner.wait(runner.app.send(), timeout=10)
        assert outcome(runner) == (2, [])


def test_another_writer_is_always_faster(env: dict[str, str]) -> None:
    with (
        running(env, CountersWithoutSnapshots) as runner,
        CountersWithoutSnapshots(env) as other,
    ):
        runner.wait(runner.app.send(), timeout=10)
        Counters.before_recording = other.mark
        runner.wait(runner.app.send(), timeout=10)
        Counters.before_recording = lambda: None
        count, (letter,) = outcome(runner)
        assert (count, letter.notification_id, letter.attempts) == (1, 2, 2)
