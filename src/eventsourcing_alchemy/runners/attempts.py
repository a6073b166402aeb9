"""One event, tried as often as the policy allows."""

import logging
from collections.abc import Callable
from threading import Event

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.retrying import Endurance
from eventsourcing_alchemy.host import (
    IntegrityError,
    Notification,
    PersistenceError,
    Tracking,
)
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.runners.failure_texts import FailureTexts
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from eventsourcing_alchemy.runners.health import Progress
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy
from eventsourcing_alchemy.runners.processing import NOT_OF_EVENTS
from eventsourcing_alchemy.statements.parameters import one

logger = logging.getLogger("eventsourcing_alchemy")

SUSPICIOUS = 10
"""Failures, with a database that answers, that are the fault of an event."""

_MAYBE_OF_EVENT = {ErrorKind.OUTAGE, ErrorKind.CANCELLED}


class Attempts:
    """Processes events one by one, or does about them what the policy says.

    Args:
        process: processes an event.
        recorder: records the positions.
        application_name: of the application whose events they are.
        policy: for events that cannot be processed.
        enduring: waits for what heals by itself.
        progress: is told what happens.
        stopping: ends pauses when it is set.
        forgotten: is told what has been processed.
    """

    def __init__(
        self,
        process: Callable[[Notification], None],
        recorder: SQLAlchemyTrackingRecorder,
        application_name: str,
        policy: PoisonPolicy,
        enduring: Endurance,
        progress: Progress,
        stopping: Event,
        forgotten: ForgottenTracking,
    ) -> None:
        self._process = process
        self._recorder = recorder
        self._name = application_name
        self._policy = policy
        self._enduring = enduring
        self._progress = progress
        self._stopping = stopping
        self._forgotten = forgotten
        self._texts = FailureTexts(recorder.datastore)

    def process(self, notification: Notification) -> bool:
        """Processes an event.

        Returns:
            Whether it was processed, by this copy and at the first attempt.

        Raises:
            Exception: what is wrong with it, if the policy is to stop.
        """
        tracking = Tracking(self._name, notification.id)
        self._recorder.forget_committed(self._name)
        for attempt, pause in enumerate(self._policy.backoff.pauses(), 1):
            try:
                is_processed = self._process_enduringly(notification, tracking)
            except NOT_OF_EVENTS:
                raise
            except Exception as error:
                if self._was_processed(error, tracking):
                    return False
                self._progress.failed(error)
                instrumentation.observer.failed(self._recorder.name, self._name, error)
                is_done_in_part = self._has_tracked(tracking)
                if attempt >= self._policy.attempts or is_done_in_part:
                    self._give_up(notification, tracking, error, attempt)
                    return False
                self._log(notification, tracking, error, attempt)
                self._stopping.wait(pause)
            else:
                if is_processed:
                    is_tracked = self._recorder.has_committed(tracking) is not False
                    self._forgotten.look(notification, is_tracked)
                return attempt == 1
        raise AssertionError  # The pauses do not end.

    def _process_enduringly(
        self, notification: Notification, tracking: Tracking
    ) -> bool:
        """Processes an event as soon as the database lets it.

        What ends the connection, or takes too long, again and again, and each time the
        database answers right after that, is the event itself.

        Returns:
            Whether it was processed; not if it is to stop before.
        """
        suspicions = 0

        def process() -> bool:
            self._process(notification)
            return True

        def failed(error: Exception) -> None:
            nonlocal suspicions
            self._progress.failed(error)
            kind = error_kind_of(error, self._recorder.datastore.dialect)
            suspicions += kind in _MAYBE_OF_EVENT and self._answers()
            # Where it was tracked, the rest of it cannot be done again.
            if suspicions >= SUSPICIOUS or self._has_tracked(tracking):
                raise error

        return bool(self._enduring.call(process, failed))

    def _answers(self) -> bool:
        # Once, and now: an outage ends at some time.
        try:
            with self._recorder.datastore.statement() as executor:
                executor.rows(one(), {})
        except PersistenceError:
            return False
        return True

    def _was_processed(self, error: Exception, tracking: Tracking) -> bool:
        """Whether another copy, or a COMMIT whose answer was lost, did it."""
        if not isinstance(error, IntegrityError):
            return False
        if self._has_tracked(tracking):
            return False
        reached = self._reached()
        return reached is None or reached >= tracking.notification_id

    def _has_tracked(self, tracking: Tracking) -> bool:
        """Whether this copy has recorded the position, for good."""
        committed = self._recorder.has_committed(tracking)
        if committed is not None:
            return committed
        return (self._reached() or 0) >= tracking.notification_id

    def _reached(self) -> int | None:
        """The position in the database; None if it is to stop before."""
        return self._enduring.call(
            lambda: self._recorder.max_tracking_id(self._name) or 0,
            self._progress.failed,
        )

    def _give_up(
        self,
        notification: Notification,
        tracking: Tracking,
        error: Exception,
        attempts: int,
    ) -> None:
        dialect = self._recorder.datastore.dialect
        is_refused = error_kind_of(error, dialect) is ErrorKind.REFUSED
        if is_refused or not self._policy.dead_letter:
            raise error
        self._log(notification, tracking, error, attempts)

        def record() -> None:
            DeadLetters(self._recorder).record(
                tracking,
                notification.topic,
                error,
                attempts,
                is_tracked=self._has_tracked(tracking),
                originator_id=notification.originator_id or None,
                originator_version=notification.originator_version or None,
            )
            self._log_passing(notification, attempts)

        try:
            self._enduring.call(record, self._progress.failed)
        except IntegrityError as refused:
            if not self._was_processed(refused, tracking):
                raise

    def _log_passing(self, notification: Notification, attempts: int) -> None:
        instrumentation.observer.passed_over(self._recorder.name, self._name)
        logger.error(
            "Projection %r passed over position %d of %r (%s) after %d attempts, and "
            "recorded a dead letter",
            self._recorder.name,
            notification.id,
            self._name,
            notification.topic,
            attempts,
        )

    def _log(
        self,
        notification: Notification,
        tracking: Tracking,
        error: Exception,
        attempts: int,
    ) -> None:
        told = self._texts.message(error)
        if attempts == 1:
            told = f"{told}\n{self._texts.traceback(error)}"
        logger.warning(
            "Projection %r failed at position %d of %r (%s), attempt %d of %d: %s",
            self._recorder.name,
            tracking.notification_id,
            self._name,
            notification.topic,
            attempts,
            self._policy.attempts,
            # Not the error itself, whose traceback would keep the view.
            told,
        )
