"""What is counted and timed, collected by OpenTelemetry's reader in memory."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    IntegrityError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing.projection import Projection
from sqlalchemy import event, func, select

from backends import Capability
from behaviour.workers import DeliberateError, new_events
from eventsourcing_alchemy import (
    Lease,
    LockTimeoutError,
    PoisonPolicy,
    SQLAlchemyDatastore,
    SQLAlchemyProjectionRunner,
    instrument,
    instrumentation,
)
from eventsourcing_alchemy.dialects.postgresql.locks import CHANNEL
from eventsourcing_alchemy.instrumentation import NOBODY
from factories import OpenFactory
from positions import Positions
from telemetry.collected import Collected

APPLICATION = "Application"
ERROR = "eventsourcing.persistence.IntegrityError"


class Noting(Projection[Positions]):
    name = "noting"
    poison: ClassVar[set[int]] = set()

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        if tracking.notification_id in self.poison:
            raise DeliberateError
        self.view.note(tracking)


@pytest.fixture
def application(env: dict[str, str]) -> Iterator[Application[UUID]]:
    with Application[UUID](env) as application:
        yield application


class TestAppends:
    def test_are_counted_and_timed(
        self, collected: Collected, open_factory: OpenFactory
    ) -> None:
        recorder = open_factory("other").application_recorder()
        recorder.insert_events(new_events(3))
        recorder.insert_events(new_events(1))
        recorder.insert_events([])
        assert collected.points("eventsourcing.append.events") == {("other",): 4}
        assert collected.points("eventsourcing.append.duration") == {("other",): 2}
        assert 0 < collected.sums("eventsourcing.append.duration")[("other",)] < 10

    def test_conflicts(self, collected: Collected, open_factory: OpenFactory) -> None:
        recorder = open_factory().application_recorder()
        events = new_events(1)
        recorder.insert_events(events)
        other = [StoredEvent(events[0].originator_id, 1, "topic", b"other")]
        for _ in range(2):
            with pytest.raises(IntegrityError):
                recorder.insert_events(other)
        conflicts = collected.points("eventsourcing.append.conflicts")
        assert conflicts == {(APPLICATION,): 2}
        durations = collected.points("eventsourcing.append.duration")
        assert durations == {(APPLICATION,): 1, (ERROR, APPLICATION): 2}
        assert collected.points("eventsourcing.append.events") == {(APPLICATION,): 1}

    def test_with_tags(self, collected: Collected, open_factory: OpenFactory) -> None:
        recorder = open_factory().dcb_recorder()
        recorder.append([DCBEvent("type", b"data", ["tag"])] * 2)
        with pytest.raises(IntegrityError):
            recorder.append(
                [DCBEvent("type", b"data")], DCBAppendCondition(DCBQuery(), 0)
            )
        assert collected.points("eventsourcing.append.events") == {(APPLICATION,): 2}
        conflicts = collected.points("eventsourcing.append.conflicts")
        assert conflicts == {(APPLICATION,): 1}

    def test_of_projections(
        self, collected: Collected, open_factory: OpenFactory
    ) -> None:
        recorder = open_factory("process").process_recorder()
        recorder.insert_events(new_events(2), Tracking("upstream", 1))
        recorder.insert_events([], Tracking("upstream", 2))
        assert collected.points("eventsourcing.append.events") == {("process",): 2}
        assert collected.points("eventsourcing.append.duration") == {("process",): 1}

    def test_retries(
        self,
        collected: Collected,
        open_factory: OpenFactory,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        recorder = open_factory().application_recorder()
        append, failures = recorder._append, [LockTimeoutError("for the moment")] * 2

        def fail(events: Any) -> Any:
            if failures:
                raise failures.pop()
            return append(events)

        monkeypatch.setattr(recorder, "_append", fail)
        recorder.insert_events(new_events())
        retries = collected.points("eventsourcing.retries")
        assert retries == {(APPLICATION, "conflict"): 2}

    @pytest.mark.needs(Capability.SHARED)
    def test_in_groups(self, collected: Collected, open_factory: OpenFactory) -> None:
        recorder, start = open_factory().application_recorder(), Barrier(8)

        def append() -> None:
            start.wait()
            for _ in range(20):
                recorder.insert_events(new_events())

        with ThreadPoolExecutor(8) as threads:
            for each in [threads.submit(append) for _ in range(8)]:
                each.result()
        assert sum(collected.sums("eventsourcing.append.group_size").values()) == 160
        assert collected.points("eventsourcing.append.events") == {(APPLICATION,): 160}


@pytest.mark.needs(Capability.SHARED)
class TestProjections:
    def test_are_counted_and_timed(
        self, collected: Collected, application: Application[UUID], env: dict[str, str]
    ) -> None:
        Noting.poison = {3}
        for _ in range(40):
            application.save(Aggregate())
        with SQLAlchemyProjectionRunner(
            application_class=Application[UUID],
            projection_class=Noting,
            view_class=Positions,
            env=env,
            poison=PoisonPolicy(attempts=1, dead_letter=True),
        ) as runner:
            runner.wait(40, timeout=10)
            key = (APPLICATION, Noting.name)
            held = collected.points("eventsourcing.lease.held")
            assert held == {key: 1}
            assert collected.points("eventsourcing.projection.lease.is_held")[key] == 1
        assert collected.points("eventsourcing.projection.events") == {key: 40}
        assert collected.sums("eventsourcing.projection.batch.size")[key] == 40
        assert 1 < collected.points("eventsourcing.projection.batch.size")[key] < 40
        assert collected.sums("eventsourcing.projection.batch.duration")[key] > 0
        assert collected.points("eventsourcing.projection.passed_over") == {key: 1}
        failures = collected.points("eventsourcing.projection.failures")
        assert failures == {("behaviour.workers.DeliberateError", *key): 1}
        assert collected.points("eventsourcing.projection.dead_letters") == {key: 1}
        assert collected.points("eventsourcing.projection.lag.events") == {key: 0}
        assert collected.points("eventsourcing.projection.lag.time") == {key: 0}
        assert collected.points("eventsourcing.projection.position") == {key: 40}
        assert collected.points("eventsourcing.lease.held") == {key: 0}
        assert collected.points("eventsourcing.lease.lost") == {}

    def test_lag(
        self,
        collected: Collected,
        application: Application[UUID],
        open_factory: OpenFactory,
    ) -> None:
        for _ in range(3):
            application.save(Aggregate())
        view = open_factory("slow").tracking_recorder(Positions)
        view.note(Tracking(APPLICATION, 1))
        lag = collected.points("eventsourcing.projection.lag.events")
        assert lag == {(APPLICATION, "slow"): 2}
        (seconds,) = collected.points("eventsourcing.projection.lag.time").values()
        assert 0 <= seconds < 60
        positions = collected.points("eventsourcing.application.position")
        assert positions == {(APPLICATION,): 3}

    def test_no_lag_behind_an_application_elsewhere(
        self, collected: Collected, open_factory: OpenFactory
    ) -> None:
        view = open_factory("view").tracking_recorder(Positions)
        view.note(Tracking("Elsewhere", 1))
        for name in ("events", "time"):
            assert collected.points(f"eventsourcing.projection.lag.{name}") == {}
        positions = collected.points("eventsourcing.projection.position")
        assert positions == {("Elsewhere", "view"): 1}

    def test_a_lease_that_is_taken_is_lost(
        self, collected: Collected, datastore: SQLAlchemyDatastore
    ) -> None:
        lease = Lease(datastore, "p", "a", duration=60)
        assert lease.acquire()
        with lease.holding(Event()):
            lease._forget()  # As when it finds that it is another copy's.
        assert collected.points("eventsourcing.lease.lost") == {("a", "p"): 1}


@pytest.mark.needs(Capability.SHARED)
class TestSubscriptions:
    def test_pages_and_wake_ups(
        self, collected: Collected, open_factory: OpenFactory
    ) -> None:
        recorder = open_factory(SQLALCHEMY_SUBSCRIBE="poll").application_recorder()
        recorder.insert_events(new_events(700))
        with recorder.subscribe() as subscription:
            for _ in range(700):
                next(subscription)
            assert collected.points("eventsourcing.subscription.page.size") == {
                (APPLICATION,): 2
            }
            sizes = collected.sums("eventsourcing.subscription.page.size")
            assert sizes == {(APPLICATION,): 700}
            subscription.look()
            recorder.insert_events(new_events())
            subscription.look()
            subscription.look()
            subscription.look()
        found = collected.points("eventsourcing.subscription.wake_ups")
        assert found[APPLICATION, "commit"] == 1
        assert found[APPLICATION, "timer"] >= 1
        durations = collected.points("eventsourcing.subscription.page.duration")
        assert durations[(APPLICATION,)] >= 3

    @pytest.mark.needs(Capability.NOTIFY)
    def test_wake_ups_by_notifications(
        self, collected: Collected, open_factory: OpenFactory
    ) -> None:
        recorder = open_factory(SQLALCHEMY_POLL_INTERVAL="60").application_recorder()
        with recorder.subscribe() as subscription:
            assert subscription.look() is None
            with recorder.datastore.engine.begin() as connection:
                connection.execute(select(func.pg_notify(CHANNEL, APPLICATION)))
            subscription.look()
        found = collected.points("eventsourcing.subscription.wake_ups")
        assert found == {(APPLICATION, "notification"): 1}


class TestDatabases:
    def test_outages(
        self, collected: Collected, datastore: SQLAlchemyDatastore
    ) -> None:
        for _ in range(2):
            datastore.outage.begin(DeliberateError())
        assert collected.points("eventsourcing.outages") == {(): 1}
        assert collected.points("eventsourcing.outage.duration") == {}
        datastore.outage.end()
        assert collected.points("eventsourcing.outage.duration") == {(): 1}

    @pytest.mark.needs(Capability.SERVER)
    def test_pools(self, collected: Collected, datastore: SQLAlchemyDatastore) -> None:
        url = datastore.engine.url
        name = f"{url.host}:{url.port}/{url.database}"
        system = url.get_backend_name()
        with datastore.reading(), datastore.engine.connect():
            found = collected.points("db.client.connection.count")
        idle, used = (name, "idle", system), (name, "used", system)
        assert found[used] >= 2
        assert found.keys() == {idle, used}
        limits = collected.points("db.client.connection.max")
        assert limits == {(name, system): 15}

    def test_are_not_asked_more_often_than_is_allowed(
        self, datastore: SQLAlchemyDatastore
    ) -> None:
        asked: list[str] = []

        def note(*arguments: Any) -> None:
            asked.append(arguments[2])

        collected = Collected()
        undo = instrument(
            datastore, interval=60, meter_provider=collected.meter_provider
        )
        event.listen(datastore.engine, "before_cursor_execute", note)
        try:
            for _ in range(5):
                assert "eventsourcing.application.position" in collected.metrics()
            selects = [each for each in asked if "FROM es_applications" in each]
            assert len(selects) == 1
        finally:
            event.remove(datastore.engine, "before_cursor_execute", note)
            undo()
            collected.close()

    def test_that_are_away_are_not_asked(
        self, collected: Collected, datastore: SQLAlchemyDatastore
    ) -> None:
        datastore.outage.begin(DeliberateError())
        assert "eventsourcing.application.position" not in collected.metrics()
        datastore.outage.end()


class TestInstrument:
    def test_may_be_undone(
        self, open_factory: OpenFactory, datastore: SQLAlchemyDatastore
    ) -> None:
        collected = Collected()
        undo = instrument(datastore, meter_provider=collected.meter_provider)
        assert instrumentation.observer is not NOBODY
        undo()
        assert instrumentation.observer is NOBODY
        open_factory().application_recorder().insert_events(new_events())
        assert collected.metrics() == {}
        collected.close()

    def test_ends_by_the_next_one(
        self, open_factory: OpenFactory, datastore: SQLAlchemyDatastore
    ) -> None:
        """Whose end is its own, not that of the one before."""
        one, other = Collected(), Collected()
        undo_one = instrument(datastore, meter_provider=one.meter_provider)
        undo_other = instrument(datastore, meter_provider=other.meter_provider)
        undo_one()
        open_factory().application_recorder().insert_events(new_events())
        assert one.metrics() == {}
        assert "eventsourcing.append.events" in other.metrics()
        undo_other()
        for each in (one, other):
            each.close()

    def test_takes_datastores_alone(self, datastore: SQLAlchemyDatastore) -> None:
        wrong: Any = datastore.engine
        with pytest.raises(ProgrammingError, match="with a Engine: pass datastores"):
            instrument(wrong)

    def test_needs_an_interval(self) -> None:
        for interval in (0, -1):
            with pytest.raises(ProgrammingError, match=f"interval is {interval}"):
                instrument(interval=interval)

    def test_without_providers_changes_nothing(
        self, open_factory: OpenFactory, datastore: SQLAlchemyDatastore
    ) -> None:
        undo = instrument(datastore)
        try:
            recorder = open_factory().application_recorder()
            events = [StoredEvent(uuid4(), 1, "topic", b"state")]
            assert recorder.insert_events(events) is not None
        finally:
            undo()
