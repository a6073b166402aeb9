"""Events that a projection processes and does not track."""

import logging
from contextlib import suppress

from eventsourcing_alchemy.host import Notification, PersistenceError
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder

logger = logging.getLogger("eventsourcing_alchemy")


class ForgottenTracking:
    """Says once that a projection does not track the events that it processes.

    Args:
        recorder: records its positions.
        application_name: of the application whose events they are.
    """

    def __init__(
        self, recorder: SQLAlchemyTrackingRecorder, application_name: str
    ) -> None:
        self._recorder = recorder
        self._name = application_name
        self._has_looked = False

    def look(self, notification: Notification, is_tracked: bool) -> None:
        """Asks the database, once, where an event seems not to be tracked.

        Args:
            notification: the event, which has been processed.
            is_tracked: whether the recorder has tracked it. Another one may have.
        """
        if is_tracked or self._has_looked:
            return
        self._has_looked = True
        with suppress(PersistenceError):  # There will be more of them.
            position = self._recorder.max_tracking_id(self._name)
            if (position or 0) < notification.id:
                self._warn(notification, position)

    def _warn(self, notification: Notification, position: int | None) -> None:
        logger.warning(
            "Projection %r processed position %d of %r (%s), but did not track it: "
            "its position stays %s, and its lag grows until it tracks a later event. "
            "Pass the tracking to the view for each event, even where there is "
            "nothing else to do, or declare the events that it processes in 'topics'",
            self._recorder.name,
            notification.id,
            self._name,
            notification.topic,
            position,
        )
