"""How an event-sourced projection processes an event that is not in a batch."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from eventsourcing_alchemy.errors import AlreadyProcessedError, text_of
from eventsourcing_alchemy.host import (
    EventSourcedProjection,
    IntegrityError,
    Notification,
    Tracking,
)
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder

logger = logging.getLogger("eventsourcing_alchemy")

MOST_TRIES = 5
"""After as many, a conflict is taken for the fault of the event."""


class Answering:
    """Processes an event, also if others change the same aggregates meanwhile.

    The events, the position and the snapshots are stored together: the library takes
    snapshots after it has recorded the events, and if that fails, the event is not to
    be processed again.

    Args:
        projection: answers events by events of its own.
        recorder: records its positions.
        application_name: of the application whose events it processes.
        process: processes an event.
        can_share: whether the projection does nothing that a rollback would not undo.
    """

    def __init__(
        self,
        projection: EventSourcedProjection[Any],
        recorder: SQLAlchemyTrackingRecorder,
        application_name: str,
        process: Callable[[Notification], None],
        *,
        can_share: bool,
    ) -> None:
        self._recorder = recorder
        self._name = application_name
        self._process = process
        self._is_joined = can_share and projection.snapshots is not None

    def process(self, notification: Notification) -> None:
        """Processes an event.

        Raises:
            Exception: whatever the projection raised, the last time it was a conflict.
        """
        for _ in range(MOST_TRIES - 1):
            try:
                self._try(notification)
            except IntegrityError as error:
                if not self._is_conflict(error, notification):
                    raise
                logger.debug("Trying again: %s", text_of(error))
            else:
                return
        self._try(notification)

    def _try(self, notification: Notification) -> None:
        with self._block():
            self._process(notification)

    def _block(self) -> AbstractContextManager[object]:
        return self._recorder.transaction() if self._is_joined else nullcontext()

    def _is_conflict(self, error: IntegrityError, notification: Notification) -> bool:
        """Whether another writer may have been faster to change an aggregate."""
        tracking = Tracking(self._name, notification.id)
        return (
            not isinstance(error, AlreadyProcessedError)
            and self._recorder.has_committed(tracking) is False
        )
