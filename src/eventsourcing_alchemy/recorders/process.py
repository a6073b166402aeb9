"""Events together with the position that they result from."""

from collections.abc import Sequence
from typing import Any

from eventsourcing.persistence import ProcessRecorder, StoredEvent, Tracking

from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.recorders.application import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.recorders.tracking import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.validation import checked_events


class SQLAlchemyProcessRecorder(
    SQLAlchemyTrackingRecorder, SQLAlchemyApplicationRecorder, ProcessRecorder
):
    """Records of an application that processes the events of others.

    Args:
        datastore: the database.
        name: of the application.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        SQLAlchemyApplicationRecorder.__init__(self, datastore, name)
        SQLAlchemyTrackingRecorder.__init__(self, datastore, name)

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        tracking: Tracking | None = None,
        **kwargs: Any,
    ) -> Sequence[int] | None:
        """Stores events and tracking in one transaction.

        Args:
            stored_events: as in `SQLAlchemyApplicationRecorder.insert_events()`.
            tracking: the position that the events result from, None for none.
            **kwargs: ignored.

        Returns:
            The positions of the stored events.

        Raises:
            IntegrityError: if the tracking, or a version of an aggregate, is stored
                already. Nothing is stored then.
        """
        if tracking is None:
            return super().insert_events(stored_events, **kwargs)
        events = checked_events(stored_events, self._id_type)
        return self.datastore.retrying(
            lambda: self._process(events, tracking), lambda: self._positions(events)
        )

    def _process(
        self, events: Sequence[StoredEvent], tracking: Tracking
    ) -> Sequence[int]:
        with self.transaction() as connection:
            # First, so that a duplicate fails before any work, and rivals queue here.
            self._track(connection, tracking)
            return self._append(events) if events else []
