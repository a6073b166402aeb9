"""Batches: events that are processed in one transaction."""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic
from typing import Any

from eventsourcing.application import Application
from eventsourcing.persistence import Notification
from eventsourcing.projection import EventSourcedProjection, Projection

from eventsourcing_alchemy.collecting import collecting_upserts
from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.recorders.tracking_modes import (
    TrackedTogether,
    tracking_mode,
)

logger = logging.getLogger("eventsourcing_alchemy")

LONGEST_BATCH = 0.05
"""Seconds after which no more events are added to a batch: it holds locks, and what it
has processed is not seen yet."""


class Batches:
    """Processes events that are there already in one transaction, which pays once.

    A batch that fails is rolled back, and its events are processed again: the first one
    by itself, then two, and so on, so that the one that fails is alone soon.

    Attributes:
        size: number of events that the next batch may have; 1 for none.

    Args:
        recorder: records the positions.
        largest: number of events in a batch, at the most.
        is_to_stop: whether to add no more events.
    """

    def __init__(
        self,
        recorder: SQLAlchemyTrackingRecorder,
        largest: int,
        is_to_stop: Callable[[], bool],
    ) -> None:
        self.size = 1
        self._recorder = recorder
        self._largest = largest
        self._is_to_stop = is_to_stop

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
        try:
            count = self._processed(notifications[: self.size], process)
        except Exception as error:
            logger.debug("A batch of events is taken apart: %s", text_of(error))
            self.size = 1
            return 0
        self.grow()
        return count

    def grow(self) -> None:
        """Lets batches become larger, because nothing has failed."""
        self.size = min(2 * self.size, self._largest)

    def _processed(
        self,
        notifications: Sequence[Notification],
        process: Callable[[Notification], None],
    ) -> int:
        ends = monotonic() + LONGEST_BATCH
        recorder, together = self._recorder, TrackedTogether()
        count = 0
        with recorder.transaction() as connection, ExitStack() as stack:
            mode = tracking_mode(connection, recorder.name, together)
            stack.enter_context(mode)
            stack.enter_context(collecting_upserts(connection))
            for notification in notifications:
                process(notification)
                count += 1
                if monotonic() > ends or self._is_to_stop():
                    break
            stack.close()
            together.record(recorder, connection)
        return count


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
