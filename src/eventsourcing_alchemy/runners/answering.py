"""How an event-sourced projection processes an event that is not in a batch."""

import logging
from collections.abc import Callable
from typing import Any

from eventsourcing_alchemy.errors import AlreadyProcessedError, text_of
from eventsourcing_alchemy.host import (
    Application,
    EventSourcedProjection,
    IntegrityError,
    Notification,
    Tracking,
)
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)

logger = logging.getLogger("eventsourcing_alchemy")

MOST_TRIES = 5
"""After as many, a conflict is taken for the fault of the event."""

_LASTS = {ErrorKind.LASTING, ErrorKind.REFUSED}


class Answering:
    """Processes an event, also if others change the same aggregates meanwhile.

    The library takes snapshots after it has recorded the events and the position. If
    the database cannot store one for the moment, the event has been processed all the
    same: a later snapshot takes its place.

    Args:
        projection: answers events by events of its own.
        recorder: records its positions.
        application_name: of the application whose events it processes.
        process: processes an event.
    """

    def __init__(
        self,
        projection: EventSourcedProjection[Any],
        recorder: SQLAlchemyTrackingRecorder,
        application_name: str,
        process: Callable[[Notification], None],
    ) -> None:
        self._recorder = recorder
        self._name = application_name
        self._process = process
        # What the projection tells others, itself, may fail as well.
        self._ends_with_snapshots = type(projection).notify is Application.notify

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
        try:
            self._process(notification)
        except Exception as error:
            if not self._is_about_snapshot(error, notification):
                raise
            logger.warning(
                "Projection %r processed position %d of %r, and could not store a "
                "snapshot after that: %s",
                self._recorder.name,
                notification.id,
                self._name,
                text_of(error),
            )

    def _is_about_snapshot(self, error: Exception, notification: Notification) -> bool:
        """Whether all but a snapshot has been committed, which may be left out."""
        return (
            self._ends_with_snapshots
            and self._recorder.has_committed(self._tracking(notification)) is True
            and error_kind_of(error, self._recorder.datastore.dialect) not in _LASTS
        )

    def _is_conflict(self, error: IntegrityError, notification: Notification) -> bool:
        """Whether another writer may have been faster to change an aggregate."""
        return (
            not isinstance(error, AlreadyProcessedError)
            and self._recorder.has_committed(self._tracking(notification)) is False
        )

    def _tracking(self, notification: Notification) -> Tracking:
        return Tracking(self._name, notification.id)
