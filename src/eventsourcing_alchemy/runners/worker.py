"""The work of a runner: one event after the other, whatever happens."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.retrying import Endurance
from eventsourcing_alchemy.host import (
    EventSourcedProjection,
    IntegrityError,
    Mapper,
    Notification,
    Projection,
    Tracking,
)
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.runners.answering import Answering
from eventsourcing_alchemy.runners.attempts import Attempts
from eventsourcing_alchemy.runners.batching import Batches, can_share_transactions
from eventsourcing_alchemy.runners.event_source import EventSource
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from eventsourcing_alchemy.runners.health import Progress, State
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy
from eventsourcing_alchemy.runners.processing import process_event
from eventsourcing_alchemy.runners.watched_position import (
    LOOK_INTERVAL,
    WatchedPosition,
)

T = TypeVar("T")

logger = logging.getLogger("eventsourcing_alchemy")

SAVE_INTERVAL = 0.1
"""Seconds between two records of a position that only events without interest moved."""


class Worker:
    """Lets a projection process events, each once, in their order.

    Errors of the database that heal are waited for; other errors are dealt with as the
    policy says. While another copy has the lease, nothing is done.

    Args:
        projection: processes the events.
        recorder: records its positions.
        application_name: of the application whose events they are.
        mapper: makes domain events of what is stored.
        policy: for events that cannot be processed.
        lease: says whose turn it is, None to be one of several that compete.
        progress: is told what happens.
        stopping: ends the work when it is set.
        batch_size: number of events in a transaction, at the most.
        is_private: whether nobody else knows that there are such positions.
    """

    def __init__(
        self,
        projection: Projection[Any] | EventSourcedProjection[Any],
        recorder: SQLAlchemyTrackingRecorder,
        application_name: str,
        mapper: Mapper[Any],
        policy: PoisonPolicy,
        lease: Lease | None,
        progress: Progress,
        stopping: Event,
        batch_size: int,
        *,
        is_private: bool = False,
    ) -> None:
        self._projection = projection
        self._recorder = recorder
        self._name = application_name
        self._mapper = mapper
        self._lease = lease
        self._progress = progress
        self._stopping = stopping
        self._is_over = False
        self._last_returned = 0
        self._considered = 0
        self._saved_at = 0.0
        largest = batch_size if can_share_transactions(projection) else 1
        self._watched = WatchedPosition(recorder, application_name)
        forgotten = ForgottenTracking(recorder, application_name)
        self._batches = Batches(
            recorder,
            application_name,
            largest,
            self._is_to_stop,
            forgotten,
            is_private=is_private,
        )
        store = recorder.datastore
        self._enduring = Endurance(
            store.dialect, store.outage, stopping.wait, stopping.is_set
        )
        self._enduring_in_turn = Endurance(
            store.dialect, store.outage, stopping.wait, self._is_to_stop
        )
        self._attempts = Attempts(
            self._process_alone(),
            recorder,
            application_name,
            policy,
            self._enduring_in_turn,
            progress,
            stopping,
            forgotten,
        )

    def events(
        self, source: EventSource
    ) -> Iterator[tuple[Sequence[Notification], Tracking]]:
        """The events to process, whenever it is this copy's turn.

        Those that are there already come together. Each turn begins after the
        position that the projection has reached.

        Args:
            source: of the events.

        Raises:
            PersistenceError: if the database cannot be read, and never will be.
        """
        while not self._stopping.is_set():
            with self._progress.ended_by_errors(), self._turn():
                self._is_over = False
                position = self._endure(self._reached)
                if position is None:
                    continue
                self._recorder.known.expect(self._name, position)
                source.restart(position)
                self._last_returned = self._considered = position
                self._progress.state = State.FOLLOWING
                yield from self._until_turn_ends(source)

    def process_event(
        self,
        notifications: Sequence[Notification],
        tracking: Tracking,  # noqa: ARG002
    ) -> None:
        """Processes events, or does about them what the policy says.

        Without effect if it is not this copy's turn any more, or if they have been
        processed before.

        Args:
            notifications: the events as they are stored, in their order.
            tracking: the application's name, and the position of the last of them.

        Raises:
            Exception: what is wrong with an event, if the policy is to stop.
        """
        left = list(notifications)
        self._batches.found(len(left))
        with self._progress.ended_by_errors():
            while left and not self._is_to_stop():
                with self._progress.busy():
                    done = self._process_observed(left)
                if done and not self._is_over:
                    self._progress.reached(left[done - 1].id)
                    self._progress.state = State.FOLLOWING
                del left[:done]

    def _process_observed(self, notifications: Sequence[Notification]) -> int:
        observer, projection = instrumentation.observer, self._recorder.name
        with observer.processing(projection, self._name, notifications) as processing:
            done = self._process_some(notifications)
            processing.done(done)
        return done

    def _process_some(self, notifications: Sequence[Notification]) -> int:
        batches = self._batches
        if batches.size > 1 and len(notifications) > 1:
            return batches.process(notifications, self._process)
        if self._attempts.process(notifications[0]):
            batches.succeeded(notifications[0].id)
        else:
            batches.failed()
        return 1

    @contextmanager
    def _turn(self) -> Iterator[None]:
        lease = self._lease
        if lease is None:
            yield
            return
        self._progress.state = State.STANDBY
        if not self._enduring.call(lambda: lease.wait(self._stopping)):
            yield
            return
        logger.info("Acquired %s", str(lease))
        with lease.holding(self._stopping):
            yield

    def _is_to_stop(self) -> bool:
        # What is over stays over, even if the lease is renewed too late: the event in
        # progress may have been given up.
        is_lost = self._lease is not None and not self._lease.is_held
        self._is_over = self._is_over or is_lost or self._stopping.is_set()
        return self._is_over

    def _until_turn_ends(
        self, source: EventSource
    ) -> Iterator[tuple[Sequence[Notification], Tracking]]:
        while not self._is_to_stop():
            has_passed = source.position > self._considered
            notification = source.look(SAVE_INTERVAL if has_passed else LOOK_INTERVAL)
            if notification is None:
                self._progress.is_idle = True
                self._endure(lambda: self._save_position(source.position))
                self._endure(self._watched.look)
                self._progress.recovered()
            elif not self._is_to_stop():
                found = [notification, *source.ready(self._batches.size - 1)]
                self._last_returned = self._considered = found[-1].id
                yield found, self._tracking(found[-1])

    def _save_position(self, position: int) -> None:
        """Moves the position over events that topics filter out.

        Not over those that were returned and not tracked: there may be reasons.
        """
        is_early = monotonic() - self._saved_at < SAVE_INTERVAL
        if position <= self._considered or is_early:
            return
        reached = self._reached()
        if self._last_returned <= reached < position:
            # If another copy was faster, the position is where it should be.
            with suppress(IntegrityError):
                self._recorder.insert_tracking(Tracking(self._name, position))
            self._progress.reached(position)
        self._considered = position
        self._saved_at = monotonic()

    def _reached(self) -> int:
        return self._recorder.max_tracking_id(self._name) or 0

    def _process_alone(self) -> Callable[[Notification], None]:
        projection = self._projection
        if not isinstance(projection, EventSourcedProjection):
            return self._process
        return Answering(projection, self._recorder, self._name, self._process).process

    def _process(self, notification: Notification) -> None:
        domain_event = self._mapper.to_domain_event(notification)
        process_event(self._projection, domain_event, self._tracking(notification))

    def _tracking(self, notification: Notification) -> Tracking:
        return Tracking(self._name, notification.id)

    def _endure(self, call: Callable[[], T]) -> T | None:
        return self._enduring_in_turn.call(call, self._progress.failed)
