"""Batches: events that are processed in one transaction."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from sqlalchemy import Connection

from eventsourcing_alchemy.database.joining import refuse_readers
from eventsourcing_alchemy.errors import (
    AlreadyProcessedError,
    text_of,
)
from eventsourcing_alchemy.host import (
    Application,
    EventSourcedProjection,
    Notification,
    Projection,
    Tracking,
)
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.recorders.tracking_modes import (
    TrackedTogether,
    tracking_mode,
)
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from eventsourcing_alchemy.runners.processing import NOT_OF_EVENTS
from eventsourcing_alchemy.runners.suspicion import Suspicion
from eventsourcing_alchemy.upserts.buffered_connection import buffering

logger = logging.getLogger("eventsourcing_alchemy")

LONGEST_BATCH = 0.05
"""Seconds after which no more events are added to a batch: it holds locks, and what it
has processed is not seen yet."""

LONGEST_BATCH_BEHIND = 0.5
"""The same, where as many events were there as a batch may have, so that there is a
backlog, and nobody in this process waits for it."""

MOST_FAILURES = 3
"""Batches that fail though their events succeed one by one."""

_EXPLAINED = {ErrorKind.OUTAGE, ErrorKind.SHORTAGE}
"""What is wrong is wrong with the database, for a while."""


class Batches:
    """Processes events that are there already in one transaction, which pays once.

    A batch that fails is rolled back, and its events are processed again: the first one
    by itself, then two, and so on, so that the one that fails is alone soon. Where none
    fails alone, it is the batch's fault. After `MOST_FAILURES`, upserts are not
    collected any more, if it was one of those that failed; or there are no batches any
    more, if none of them succeeds.

    Attributes:
        size: number of events that the next batch may have; 1 for none.

    Args:
        recorder: records the positions.
        application_name: of the application whose events they are.
        largest: number of events in a batch, at the most.
        is_to_stop: whether to add no more events.
        forgotten: is told what has been processed.
        is_private: whether nobody else knows that there are such positions.
    """

    def __init__(
        self,
        recorder: SQLAlchemyTrackingRecorder,
        application_name: str,
        largest: int,
        is_to_stop: Callable[[], bool],
        forgotten: ForgottenTracking,
        *,
        is_private: bool = False,
    ) -> None:
        self.size = 1
        self._is_behind = False
        self._recorder = recorder
        self._name = application_name
        self._largest = largest
        self._is_to_stop = is_to_stop
        self._forgotten = forgotten
        self._is_private = is_private
        self._failures = 0
        self._reason = ""
        self._collects = True
        self._collecting = Suspicion()
        self._is_of_collecting = False

    def process(
        self,
        notifications: Sequence[Notification],
        process: Callable[[Notification], None],
    ) -> int:
        """Processes the first events, all in one transaction, or none.

        Args:
            notifications: the events, in the order of their positions.
            process: processes one event.

        Returns:
            How many have been processed; 0 if one of them failed.
        """
        batch = notifications[: self.size]
        try:
            count = self._processed(batch, process)
        except NOT_OF_EVENTS:
            raise
        except Exception as error:
            self._take_apart(error, batch[-1].id)
            return 0
        self._failures = 0
        self.succeeded(batch[count - 1].id)
        return count

    def succeeded(self, position: int) -> None:
        """Lets batches become larger, because events have been processed.

        Args:
            position: of the last one.
        """
        self._collecting.reached(position)
        if self._collects and self._collecting.cases >= MOST_FAILURES:
            self._collects = False
            self._warn("executes each statement by itself")
        if self._failures >= MOST_FAILURES:
            self._end()
        self._grow()

    def failed(self) -> None:
        """Notes that an event has failed alone, or was processed by another copy."""
        self._failures = 0
        self._collecting.event_failed()
        self._grow()

    def found(self, number: int) -> None:
        """Notes how many events are there already.

        Args:
            number: of them; at most as many as a batch may have.
        """
        self._is_behind = number == self._largest

    def _grow(self) -> None:
        self.size = min(2 * self.size, self._largest)

    def _take_apart(self, error: Exception, last: int) -> None:
        self._recorder.in_batch.forget()
        logger.debug(
            "A batch failed; trying its events in smaller batches: %s", text_of(error)
        )
        self.size = 1
        self._reason = text_of(error)
        kind = error_kind_of(error, self._recorder.datastore.dialect)
        if self._recorder.in_batch.is_tracked_elsewhere:
            self._end()
        elif isinstance(error, AlreadyProcessedError) or kind in _EXPLAINED:
            return
        elif self._is_of_collecting and kind is ErrorKind.LASTING:
            self._collecting.batch_failed(last)
        else:
            self._failures += 1

    def _end(self) -> None:
        self._largest = 1
        self._failures = 0
        self._warn("processes each event in a transaction of its own")

    def _warn(self, what: str) -> None:
        logger.warning(
            "Projection %r %s from now on, because batches failed whose events "
            "succeed one by one: %s",
            self._recorder.name,
            what,
            self._reason,
        )

    def _processed(
        self,
        notifications: Sequence[Notification],
        process: Callable[[Notification], None],
    ) -> int:
        began, count, in_batch = monotonic(), 0, self._recorder.in_batch
        with self._recorder.transaction() as connection, self._together(connection):
            options = connection.get_execution_options()
            refuse_readers(connection, in_batch.refuse)
            for notification in notifications:
                in_batch.begin(Tracking(self._name, notification.id), connection)
                process(notification)
                in_batch.end()
                self._forgotten.look(notification, in_batch.is_tracked)
                # One by one, each event has a connection of its own.
                connection._execution_options = options  # noqa: SLF001
                count += 1
                if monotonic() - began > self._longest() or self._is_to_stop():
                    break
        return count

    def _longest(self) -> float:
        if self._is_behind and not self._recorder.is_awaited():
            return max(LONGEST_BATCH_BEHIND, LONGEST_BATCH)
        return LONGEST_BATCH

    @contextmanager
    def _together(self, connection: Connection) -> Iterator[None]:
        self._is_of_collecting = False
        if not self._collects:
            yield
            return
        buffer = None
        try:
            with (
                buffering(connection) as buffer,
                tracking_mode(
                    connection,
                    self._recorder.name,
                    TrackedTogether(buffer, is_private=self._is_private),
                ),
            ):
                yield
        except Exception:
            self._is_of_collecting = buffer is not None and buffer.failure is not None
            raise


def can_share_transactions(
    projection: Projection[Any] | EventSourcedProjection[Any],
) -> bool:
    """Whether a projection does nothing that a rollback would not undo.

    A cache keeps aggregates as they were before the rollback, and `notify()` would tell
    of events that are not committed yet.
    """
    if not isinstance(projection, EventSourcedProjection):
        return True
    of_class = type(projection)
    return (
        projection.repository.cache is None
        and of_class.notify is Application.notify
        and of_class._notify is Application._notify  # noqa: SLF001
    )
