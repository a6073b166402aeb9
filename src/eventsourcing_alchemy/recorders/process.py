"""Events together with the position that they result from."""

from collections.abc import Sequence
from typing import Any

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.binds import Bind
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import ProcessRecorder, StoredEvent, Tracking
from eventsourcing_alchemy.recorders.application import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.recorders.tracking import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.schema.validation import checked_events


class SQLAlchemyProcessRecorder(
    SQLAlchemyTrackingRecorder, SQLAlchemyApplicationRecorder, ProcessRecorder
):
    """Stores the events of a follower, together with the positions it has processed.

    Args:
        datastore: the database.
        name: the name of the application.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        SQLAlchemyApplicationRecorder.__init__(self, datastore, name)
        SQLAlchemyTrackingRecorder.__init__(self, datastore, name)

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        tracking: Tracking | None = None,
        *,
        session: Bind | None = None,
        **kwargs: Any,
    ) -> Sequence[int] | None:
        """Stores events and a position in one transaction.

        Args:
            stored_events: as in `SQLAlchemyApplicationRecorder.insert_events()`.
            tracking: the position of the event that was processed; None for none.
            session: your session or connection, to take part in its transaction.
            **kwargs: ignored.

        Returns:
            The positions of the stored events.

        Raises:
            IntegrityError: if the event was already processed, or a version of an
                aggregate is already stored. Then nothing is stored.
        """
        if session is not None:
            with self.datastore.transaction(session):
                return self.insert_events(stored_events, tracking, **kwargs)
        if tracking is None:
            return super().insert_events(stored_events, **kwargs)
        self._refuse_beside_batch(tracking)
        events = checked_events(stored_events, self._id_type)
        if not events:
            return self._insert_with(events, tracking)
        with instrumentation.observer.appending(self.name, events) as appending:
            positions = self._insert_with(events, tracking)
            appending.stored(positions[-1])
        return positions

    def _insert_with(
        self, events: Sequence[StoredEvent], tracking: Tracking
    ) -> Sequence[int]:
        return self.datastore.retrying(
            lambda: self._process(events, tracking), lambda: self._positions(events)
        )

    def _process(
        self, events: Sequence[StoredEvent], tracking: Tracking
    ) -> Sequence[int]:
        with self.datastore.recording() as connection:
            # First, so that a duplicate fails before any work, and rivals queue here.
            self._track(connection, tracking)
            return self._append(events) if events else []
