"""Runners for production: outages, poison, copies, progress, health."""

from __future__ import annotations

import logging
import os
from asyncio import CancelledError
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from socket import SHUT_RDWR, socket
from threading import Event
from typing import Any, ClassVar, TypeAlias
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    ProgrammingError,
    Tracking,
    WaitInterruptedError,
)
from eventsourcing.popo import POPOTrackingRecorder
from eventsourcing.projection import EventSourcedProjection, Projection
from eventsourcing.utils import get_topic
from sqlalchemy import text

from backends import Capability
from eventsourcing_alchemy import (
    Backoff,
    PoisonPolicy,
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyProjectionRunner,
    State,
)
from eventsourcing_alchemy.database import retrying
from eventsourcing_alchemy.database.retrying import CONFLICTS_BEFORE_WARNING
from eventsourcing_alchemy.errors import (
    CannotConnectError,
    ConfigurationError,
    LockTimeoutError,
)
from eventsourcing_alchemy.runners import attempts
from eventsourcing_alchemy.schema.tables import leases
from factories import OpenFactory
from positions import Positions

pytestmark = [pytest.mark.needs(Capability.SHARED), pytest.mark.observed]

QUICK = Backoff(first=0.001, longest=0.001)


class Parcel(Aggregate):
    """Delivered, or lost."""

    @event("Delivered")
    def deliver(self) -> None:
        self.is_delivered = True


class Parcels(Application[UUID]):
    def send(self) -> int:
        return self.save(Parcel())[-1].notification.id

    def deliver(self) -> int:
        parcel = Parcel()
        parcel.deliver()
        return self.save(parcel)[-1].notification.id


@dataclass
class Script:
    """What happens to events, by position, before they are processed."""

    failures: dict[int, list[BaseException]] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    before: Callable[[int], None] = lambda _: None

    def play(self, position: int) -> None:
        self.tried.append(position)
        self.before(position)
        failures = self.failures.get(position)
        if failures:
            raise failures.pop(0)


class Noting(Projection[Positions]):
    name = "noting"
    script: ClassVar[Script]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.script.play(tracking.notification_id)
        self.view.note(tracking)


class NotingDelivered(Noting):
    name = "delivered"
    topics = (get_topic(Parcel.Delivered),)  # type: ignore[attr-defined]


class Receipt(Aggregate):
    def __init__(self, position: int) -> None:
        self.position = position


class Receipts(EventSourcedProjection[UUID]):
    name = "receipts"
    script: ClassVar[Script]

    @singledispatchmethod
    def policy(self, domain_event: Any, processing_event: Any) -> None:  # noqa: ARG002
        tracking = processing_event.tracking
        self.script.play(tracking.notification_id)
        processing_event.collect_events(Receipt(tracking.notification_id))


Runner: TypeAlias = SQLAlchemyProjectionRunner[Parcels, Positions]
Run = Callable[..., Runner]


@pytest.fixture
def script() -> Script:
    Noting.script = Receipts.script = Script()
    return Noting.script


@pytest.fixture
def parcels(env: dict[str, str]) -> Iterator[Parcels]:
    with Parcels(env) as parcels:
        yield parcels


@pytest.fixture
def run(env: dict[str, str], script: Script) -> Iterator[Run]:  # noqa: ARG001
    """Starts runners, which end with the test."""
    with ExitStack() as stack:

        def run(
            projection_class: type[Noting] = Noting, **arguments: Any
        ) -> SQLAlchemyProjectionRunner[Parcels, Positions]:
            return stack.enter_context(
                SQLAlchemyProjectionRunner(
                    application_class=Parcels,
                    projection_class=projection_class,
                    view_class=Positions,
                    env=env,
                    **arguments,
                )
            )

        yield run


@contextmanager
def event_sourced(
    env: dict[str, str], **arguments: Any
) -> Iterator[SQLAlchemyEventSourcedProjectionRunner[Parcels, Receipts]]:
    with SQLAlchemyEventSourcedProjectionRunner(
        application_class=Parcels, projection_class=Receipts, env=env, **arguments
    ) as runner:
        yield runner


def transient() -> Exception:
    return LockTimeoutError("for the moment")


@pytest.mark.parametrize("lease_duration", [None, 5.0])
def test_processes_each_event_once(
    parcels: Parcels, run: Run, lease_duration: float | None
) -> None:
    parcels.send()
    runner = run(lease_duration=lease_duration)
    for _ in range(3):
        last = parcels.send()
    runner.wait(last, timeout=10)
    assert runner.view.all() == dict.fromkeys(range(1, last + 1), 1)


def test_what_heals_is_tried_again(
    parcels: Parcels, run: Run, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eventsourcing_alchemy")
    tries = CONFLICTS_BEFORE_WARNING + 1
    script.failures[2] = [transient() for _ in range(tries)]
    for _ in range(3):
        last = parcels.send()
    runner = run()
    runner.wait(last, timeout=30)
    assert runner.view.all() == {1: 1, 2: 1, 3: 1}
    assert script.tried == [1, *[2] * (tries + 1), 3]
    told = [each.message for each in caplog.records if "database" in each.message]
    assert told == []
    (warning,) = [each.message for each in caplog.records if "again" in each.message]
    assert warning.startswith("Trying again")
    assert "for the moment" in str(runner.health().last_error)


class NotingLosses(Noting):
    """Goes on after a connection was lost, and nobody took notice."""

    name = "losses"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        with self.view.transaction() as connection:
            if not self.script.tried:
                connection.invalidate()
            super().process_event(domain_event, tracking)


class NotingOnDriversCursor(Noting):
    """Loses the connection, which the cursor of the driver's own finds out."""

    name = "own_cursor"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        with self.view.transaction() as connection:
            # In a batch, and by itself.
            if len(self.script.tried) < 3:
                self.script.tried.append(0)
                driver_connection: Any = connection.connection.dbapi_connection
                sock = getattr(driver_connection, "_sock", driver_connection)
                with socket(fileno=os.dup(sock.fileno())) as duplicate:
                    duplicate.shutdown(SHUT_RDWR)
                driver_connection.cursor().execute("SELECT 1")
            super().process_event(domain_event, tracking)


@pytest.mark.needs(Capability.SERVER)
def test_connection_that_the_drivers_cursor_finds_lost_is_no_poison(
    parcels: Parcels, run: Run, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    last = parcels.send()
    runner = run(NotingOnDriversCursor)
    runner.wait(last, timeout=10)
    assert runner.view.all() == {1: 1}
    assert script.tried == [0, 0, 0, 1]
    assert "failed at position" not in caplog.text


def test_connection_that_is_found_lost_is_no_poison(
    parcels: Parcels, run: Run, script: Script
) -> None:
    last = parcels.send()
    runner = run(NotingLosses)
    runner.wait(last, timeout=10)
    assert runner.view.all() == {1: 1}
    assert script.tried == [1, 1]


def test_poison_stops_the_runner_by_default(
    parcels: Parcels, run: Run, script: Script
) -> None:
    parcels.send()
    parcels.send()
    script.failures[1] = [ValueError("poison")]
    runner = run()
    with pytest.raises(ValueError, match="poison"):
        runner.run_forever(timeout=10)
    assert script.tried == [1]
    assert runner.view.max_tracking_id("Parcels") is None
    health = runner.health()
    assert (health.state, health.last_error) == (State.FAILED, "ValueError: poison")


def test_poison_is_tried_several_times(
    parcels: Parcels, run: Run, script: Script
) -> None:
    parcels.send()
    last = parcels.send()
    script.failures = {1: [ValueError("once")], 2: [ValueError("twice")] * 2}
    run(poison=PoisonPolicy(attempts=3, backoff=QUICK)).wait(last, timeout=10)
    assert script.tried == [1, 1, 2, 2, 2]


def test_poison_stops_the_runner_after_the_last_attempt(
    parcels: Parcels, run: Run, script: Script
) -> None:
    parcels.send()
    script.failures[1] = [ValueError("first"), ValueError("second")]
    runner = run(poison=PoisonPolicy(attempts=2, backoff=QUICK))
    with pytest.raises(ValueError, match="second"):
        runner.run_forever(timeout=10)
    assert script.tried == [1, 1]
    assert runner.dead_letters.select() == []


def test_poison_becomes_a_dead_letter(
    parcels: Parcels, run: Run, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    parcel = Parcel()
    parcels.save(parcel)
    last = parcels.send()
    script.failures[1] = [ValueError("first"), ValueError("second")]
    policy = PoisonPolicy(attempts=2, backoff=QUICK, dead_letter=True)
    runner = run(poison=policy)
    runner.wait(last, timeout=10)
    assert runner.view.all() == {2: 1}
    [letter] = runner.dead_letters.select()
    assert (letter.notification_id, letter.attempts) == (1, 2)
    assert letter.topic == get_topic(Parcel.Created)
    assert letter.error == "ValueError: second"
    assert "in play" in str(letter.traceback)
    assert (letter.originator_id, letter.originator_version) == (str(parcel.id), 1)
    one, two, three = (each.getMessage() for each in caplog.records)
    assert "in play" in one, "the traceback is told"
    assert one.startswith("Projection 'noting' failed at position 1 of 'Parcels'")
    assert two.endswith("attempt 2 of 2: ValueError: second"), "it is told once"
    assert "'noting' passed over position 1 of 'Parcels'" in three
    runner.dead_letters.retry(letter, runner.app, runner.projection)
    assert runner.view.all() == {1: 1, 2: 1}
    assert runner.dead_letters.select() == []


@pytest.mark.parametrize("ending", [SystemExit, CancelledError])
def test_what_would_end_a_process_or_a_task_is_poison(
    parcels: Parcels, run: Run, script: Script, ending: type[BaseException]
) -> None:
    """No policy would hear of it, and a service would take it for a good end."""
    parcels.send()
    last = parcels.send()
    script.failures[1] = [ending(), ending()]
    runner = run(poison=PoisonPolicy(attempts=2, backoff=QUICK, dead_letter=True))
    runner.wait(last, timeout=10)
    assert runner.view.all() == {2: 1}
    [letter] = runner.dead_letters.select()
    assert letter.error == f"RuntimeError: process_event() raised {ending()!r}"
    script.failures[1] = [ending()]
    with pytest.raises(RuntimeError, match=r"process_event\(\) raised"):
        runner.dead_letters.retry(letter, runner.app, runner.projection)
    runner.dead_letters.retry(letter, runner.app, runner.projection)
    assert runner.view.all() == {1: 1, 2: 1}


class Forgetful(Noting):
    """Does not track some events."""

    name = "forgetful"
    forgotten: ClassVar[set[int]]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if tracking.notification_id not in self.forgotten:
            super().process_event(domain_event, tracking)


@pytest.mark.parametrize("batch_size", [1, 500])
@pytest.mark.parametrize("forgotten", [{1, 2}, {3, 4}])
def test_to_forget_the_tracking_is_told_once(
    parcels: Parcels,
    run: Run,
    caplog: pytest.LogCaptureFixture,
    batch_size: int,
    forgotten: set[int],
) -> None:
    Forgetful.forgotten = forgotten
    for _ in range(5):
        last = parcels.send()
    runner = run(Forgetful, batch_size=batch_size)
    runner.wait(last, timeout=10)
    (told,) = [each.getMessage() for each in caplog.records]
    assert told.startswith(
        f"Projection 'forgetful' processed position {min(forgotten)} of 'Parcels'"
    )
    assert get_topic(Parcel.Created) in told


class Beside(Noting):
    """Tracks by another recorder than the runner knows."""

    name = "beside"
    other: ClassVar[Positions]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.other.note(tracking)


def test_to_track_by_another_recorder_is_not_to_forget(
    parcels: Parcels,
    run: Run,
    open_factory: OpenFactory,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Beside.other = open_factory(Beside.name).tracking_recorder(Positions)
    for _ in range(3):
        last = parcels.send()
    run(Beside, batch_size=1).wait(last, timeout=10)
    assert not caplog.records


def test_events_that_cannot_be_read_are_poison(
    parcels: Parcels, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here: their class is gone."""
    parcels.send()
    last = parcels.deliver()
    topic = get_topic(Parcel.Created)
    run(poison=PoisonPolicy(dead_letter=True))

    def gone(_: object, notification: Any) -> Any:
        if notification.topic == topic:
            raise LookupError(topic)
        return to_domain_event(notification)

    mapper = type(parcels.mapper)
    to_domain_event = parcels.mapper.to_domain_event
    monkeypatch.setattr(mapper, "to_domain_event", gone)
    runner = run(NotingDelivered, poison=PoisonPolicy(dead_letter=True))
    runner.wait(last, timeout=10)


def test_what_costs_the_connection_each_time_is_poison(
    parcels: Parcels, run: Run, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is fine: it answers to others."""
    monkeypatch.setattr(retrying, "ENDURING_BACKOFF", QUICK)
    last = parcels.send()
    script.failures[1] = [
        CannotConnectError("gone") for _ in range(attempts.SUSPICIOUS)
    ]
    runner = run(poison=PoisonPolicy(dead_letter=True))
    runner.wait(last, timeout=10)
    [letter] = runner.dead_letters.select()
    assert letter.error.endswith("CannotConnectError: gone")


def test_an_interruption_of_the_projections_own_is_poison(
    parcels: Parcels, run: Run, script: Script
) -> None:
    parcels.send()
    script.failures[1] = [WaitInterruptedError("of another wait")]
    runner = run()
    with pytest.raises(WaitInterruptedError, match="of another wait"):
        runner.run_forever(timeout=10)
    assert runner.health().state is State.FAILED


def test_an_error_that_is_its_own_cause(
    parcels: Parcels, run: Run, script: Script
) -> None:
    parcels.send()
    error = ValueError("round and round")
    error.__cause__ = error
    script.failures[1] = [error]
    with pytest.raises(ValueError, match="round and round"):
        run().run_forever(timeout=10)
    error.__cause__ = error.__traceback__ = None


@pytest.mark.parametrize(
    "arguments",
    [{"poison": "stop"}, {"lease_duration": "5"}, {"frozen_after": "60"}],
)
def test_refuses_arguments_of_other_types(run: Run, arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ProgrammingError, match=f"{name} is '.+': expected"):
        run(**arguments)


def test_refuses_a_lease_without_duration(run: Run) -> None:
    with pytest.raises(ProgrammingError, match="duration is -1"):
        run(lease_duration=-1).run_forever(timeout=10)


def test_constraints_of_views_are_poison(
    parcels: Parcels, run: Run, script: Script
) -> None:
    """An IntegrityError is not a duplicate where the event was not tracked."""
    last = parcels.send()
    script.failures[1] = [IntegrityError("unique")]
    runner = run(poison=PoisonPolicy(dead_letter=True))
    runner.wait(last, timeout=10)
    [letter] = runner.dead_letters.select()
    assert letter.error.endswith("IntegrityError: unique")


class Untabled(Noting):
    name = "untabled"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.script.play(tracking.notification_id)
        with self.view.processing(tracking) as connection:
            connection.execute(text("SELECT * FROM no_such_table"))


def test_what_is_not_about_the_event_is_no_dead_letter(
    parcels: Parcels, run: Run, script: Script
) -> None:
    """Every event would become one where a table is missing."""
    parcels.send()
    policy = PoisonPolicy(attempts=2, backoff=QUICK, dead_letter=True)
    runner = run(Untabled, poison=policy)
    with pytest.raises(PersistenceError, match="no_such_table"):
        runner.run_forever(timeout=10)
    assert script.tried == [1, 1]
    assert runner.dead_letters.select() == []


class Mistyped(Noting):
    """Gives a value of another type at the second event."""

    name = "mistyped"
    statement: ClassVar[str]
    value: ClassVar[object]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        value = self.value if tracking.notification_id == 2 else 1
        with self.view.processing(tracking) as connection:
            connection.execute(text(self.statement), {"value": value})


@pytest.mark.needs(Capability.KNOWN_ERRORS)
@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE positions SET times = :value", True),
        ("UPDATE positions SET times = times + :value", True),
        ("SELECT coalesce(times, :value) FROM positions", True),
        ("SELECT CAST(:value AS DECIMAL)", date(2026, 1, 1)),
        ("SELECT :value IS NULL", None),
        ("SELECT :value + :value", "text"),
    ],
)
def test_value_of_another_type_is_about_the_event(
    parcels: Parcels, run: Run, statement: str, value: object
) -> None:
    """Where the database refuses it. Some take it."""
    Mistyped.statement, Mistyped.value = statement, value
    for _ in range(3):
        last = parcels.send()
    policy = PoisonPolicy(attempts=2, backoff=QUICK, dead_letter=True)
    runner = run(Mistyped, poison=policy)
    runner.wait(last, timeout=10)
    assert {each.notification_id for each in runner.dead_letters.select()} <= {2}


def test_stops_while_it_retries(parcels: Parcels, run: Run, script: Script) -> None:
    is_tried = Event()
    script.failures[1] = [transient() for _ in range(1000)]
    script.before = lambda _: is_tried.set()
    parcels.send()
    runner = run()
    assert is_tried.wait(10)
    runner.stop()
    runner._processing_thread.join(5)
    assert not runner._processing_thread.is_alive()
    assert runner.health().state is State.STOPPED


def test_event_sourced_projection(
    parcels: Parcels, env: dict[str, str], script: Script
) -> None:
    # Once in a batch, and once alone.
    script.failures = {1: [transient()], 2: [ValueError("poison")] * 2}
    for _ in range(3):
        last = parcels.send()
    policy = PoisonPolicy(dead_letter=True)
    with event_sourced(env, poison=policy) as runner:
        runner.wait(last, timeout=10)
        created = runner.projection.recorder.select_notifications(None, 10)
        assert len(created) == 2
        [letter] = runner.dead_letters.select()
        runner.dead_letters.retry(letter, runner.app, runner.projection)
        assert runner.projection.recorder.max_notification_id() == 3
        assert runner.health().position == last


def test_event_sourced_projection_with_a_backlog_can_be_left(
    parcels: Parcels, env: dict[str, str], script: Script
) -> None:
    """The host closes the projection first, and so fails."""
    is_busy = Event()
    script.before = lambda _: is_busy.set()
    for _ in range(20):
        parcels.send()
    with event_sourced(env) as runner:
        assert is_busy.wait(10)
    assert runner.is_interrupted.is_set()


def test_position_advances_over_what_topics_filter_out(
    parcels: Parcels, run: Run
) -> None:
    runner = run(NotingDelivered)
    parcels.send()
    delivered = parcels.deliver()
    last = parcels.send()
    runner.wait(last, timeout=10)
    assert runner.view.all() == {delivered: 1}
    last = parcels.send()
    runner.wait(last, timeout=10)
    assert runner.health().lag == 0


class Untracked(NotingDelivered):
    name = "untracked"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Keeps it for later."""


def test_position_does_not_advance_over_what_was_not_tracked(
    parcels: Parcels, run: Run
) -> None:
    runner = run(Untracked)
    runner.wait(parcels.send(), timeout=10)
    parcels.deliver()
    last = parcels.send()
    with pytest.raises(TimeoutError):
        runner.wait(last, timeout=0.5)


def test_copies_stand_by(parcels: Parcels, run: Run) -> None:
    first = run()
    first.wait(parcels.send(), timeout=10)
    second = run()
    second.wait(parcels.send(), timeout=10)
    assert first.health().state is State.FOLLOWING
    assert second.health().state is State.STANDBY
    first.stop()
    second.wait(parcels.send(), timeout=3)
    assert second.health().state is State.FOLLOWING
    assert second.view.all() == {1: 1, 2: 1, 3: 1}


def test_copies_take_over_from_one_that_fails(
    parcels: Parcels, run: Run, script: Script
) -> None:
    script.failures[1] = [ValueError("only the first copy")]
    first = run()
    last = parcels.send()
    with pytest.raises(ValueError, match="only the first copy"):
        first.run_forever(timeout=10)
    run().wait(last, timeout=3)


def test_copies_compete_without_a_lease(
    parcels: Parcels, run: Run, script: Script
) -> None:
    runners = [run(lease_duration=None) for _ in range(3)]
    for _ in range(20):
        last = parcels.send()
    for runner in runners:
        runner.wait(last, timeout=20)
        assert runner.health().state is State.FOLLOWING
    assert runners[0].view.all() == dict.fromkeys(range(1, last + 1), 1)
    assert set(script.tried) == set(range(1, last + 1))


def test_one_that_has_lost_the_lease_stands_by(
    parcels: Parcels, run: Run, script: Script
) -> None:
    """It was busy for longer than the lease lasts, and nobody renewed it."""
    is_busy, go_on = Event(), Event()

    def pause(position: int) -> None:
        if position == 1 and not is_busy.is_set():
            is_busy.set()
            assert go_on.wait(20)

    script.before = pause
    first = run(lease_duration=0.5)
    last = parcels.send()
    assert is_busy.wait(10)
    with first.view.transaction() as connection:
        connection.execute(leases.update().values(token=leases.c.token + 1, holder="x"))
    second = run(lease_duration=0.5)
    second.wait(last, timeout=10)
    go_on.set()
    last = parcels.send()
    second.wait(last, timeout=10)
    assert second.view.all() == dict.fromkeys(range(1, last + 1), 1)


def test_health_tells_the_lag(parcels: Parcels, run: Run, script: Script) -> None:
    go_on = Event()
    script.before = lambda _: assert_set(go_on)
    for _ in range(3):
        last = parcels.send()
    runner = run(frozen_after=0.001)
    health = runner.health()
    assert (health.position, health.last_position, health.lag) == (None, 3, 3)
    assert health.lag_seconds is not None
    assert 0 < health.lag_seconds < 60
    assert health.is_frozen
    go_on.set()
    runner.wait(last, timeout=10)
    health = runner.health()
    assert (health.position, health.lag, health.lag_seconds) == (3, 0, 0)
    assert not health.is_frozen


def assert_set(event: Event) -> None:
    assert event.wait(20)


def test_health_of_a_runner_that_has_ended(parcels: Parcels, run: Run) -> None:
    runner = run()
    runner.wait(parcels.send(), timeout=10)
    runner.health()
    runner.stop()
    parcels.close()
    assert runner.health().position == 1


def test_needs_a_recorder_of_this_package(env: dict[str, str]) -> None:
    class Foreign(Projection[Any]):
        def process_event(self, domain_event: Any, tracking: Tracking) -> None: ...

    variables = {**env, "FOREIGN_PERSISTENCE_MODULE": "eventsourcing.popo"}
    with (
        pytest.raises(ConfigurationError, match="set FOREIGN_PERSISTENCE_MODULE="),
        SQLAlchemyProjectionRunner(
            application_class=Parcels,
            projection_class=Foreign,
            view_class=POPOTrackingRecorder,
            env=variables,
        ) as runner,
    ):
        runner.run_forever(timeout=10)


def test_follows_an_application_of_another_module(
    run: Run, env: dict[str, str]
) -> None:
    """Without what only our subscriptions can do."""
    env.update(
        PARCELS_PERSISTENCE_MODULE="eventsourcing.popo",
    )
    runner = run()
    for _ in range(3):
        last = runner.app.send()
    runner.wait(last, timeout=10)
    assert runner.view.all() == {1: 1, 2: 1, 3: 1}


def test_refuses_no_attempts() -> None:
    with pytest.raises(ProgrammingError, match="attempts is 0"):
        PoisonPolicy(attempts=0)


def test_stops_within_a_stop(
    run: Run, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a second signal interrupts the handler of the first one."""
    assert script
    runner = run()
    set_event = runner.is_interrupted.set

    def interrupted() -> None:
        runner.stop()
        set_event()

    monkeypatch.setattr(runner.is_interrupted, "set", interrupted)
    runner.stop()
    assert runner.is_interrupted.is_set()
