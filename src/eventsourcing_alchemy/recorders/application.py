"""Events under the positions of an application."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import ApplicationRecorder, Notification, StoredEvent
from sqlalchemy import Table

from eventsourcing_alchemy import tables
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.dialects.base import Application
from eventsourcing_alchemy.errors import TransientError
from eventsourcing_alchemy.notifications import LAST_POSITION, NotificationReader, Scan
from eventsourcing_alchemy.recorders.aggregate import SQLAlchemyAggregateRecorder
from eventsourcing_alchemy.subscriptions import SQLAlchemySubscription
from eventsourcing_alchemy.validation import (
    checked_count,
    checked_events,
    checked_topics,
    refuse_tracking,
)


class SQLAlchemyApplicationRecorder(SQLAlchemyAggregateRecorder, ApplicationRecorder):
    """Stores the events of an application under its positions.

    Positions (notification IDs) count from 1 without gaps, in the order of commits: who
    has seen a position has seen all below it, on every database.

    Args:
        datastore: the database.
        name: of the application.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        super().__init__(datastore, name)
        self.reader = NotificationReader(datastore, self._table, name)
        self._application = Application(name, datastore.settings.schema)
        self._notifies = datastore.settings.subscribe != "poll"
        self.events_topic = (datastore.database, "events", name)

    @property
    def _table(self) -> Table:
        return tables.events if self._id_type is UUID else tables.text_events

    def _filters(self) -> dict[str, str]:
        return {}

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Stores all of the events under the next positions, or none.

        Args:
            stored_events: to store.
            **kwargs: ignored, but for a `tracking`, which is refused.

        Returns:
            The positions, in the order of the events.

        Raises:
            IntegrityError: if a version of an aggregate is stored already.
            DataError: if something does not fit.
            OperationalError: if the application is locked for too long, or the
                database stays out of reach. Where the connection was lost in COMMIT,
                the events may be stored.
        """
        refuse_tracking(self, kwargs)
        events = checked_events(stored_events, self._id_type)
        if not events:
            return []
        return self.datastore.retrying(
            lambda: self._append(events), lambda: self._refused_positions(events)
        )

    def _append(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        key = self._table, self._application, self._notifies
        group_commit = self.datastore.group_commit(key)
        if group_commit is None:
            last = self._append_now(events)
        else:
            last = group_commit.append(events, self._append_now)
        return list(range(last - len(events) + 1, last + 1))

    def _append_now(self, events: Sequence[StoredEvent]) -> int:
        store = self.datastore
        with store.writing_alone() as executor:
            last = store.dialect.append(
                executor, self._table, self._application, events, notify=self._notifies
            )
        store.hint(self.events_topic)
        return last

    def _refused_positions(self, events: Sequence[StoredEvent]) -> Sequence[int] | None:
        """As `_positions()`, of events that a constraint has refused.

        So there is something: a server that has nothing is behind the one that refused.
        """
        if all(self.reader.position(event) is None for event in events):
            msg = "What refused the events is not on this server yet"
            raise TransientError(msg)
        return self._positions(events)

    def _positions(self, events: Sequence[StoredEvent]) -> Sequence[int] | None:
        """The positions of exactly these events, if they were stored together."""
        positions = [self.reader.position(event) or 0 for event in events]
        first = min(positions, default=0)
        are_together = positions == list(range(first, first + len(events)))
        return positions if are_together and self._are_stored(events) else None

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """The first events from a position on, in the order of positions.

        Args:
            start: position, None for the beginning.
            limit: number of events at the most.
            stop: position to end with, None for the end.
            topics: of the events; empty for all.
            inclusive_of_start: whether to include the event at `start`.

        Raises:
            ProgrammingError: if the limit is negative.
        """
        checked_count("limit", limit)
        gt = max(0, (start or 0) - inclusive_of_start)
        stop = LAST_POSITION if stop is None else stop
        topics = checked_topics(topics)
        return self.datastore.retrying(
            lambda: Scan(self.reader, gt, topics, stop=stop).first(limit)
        )

    def max_notification_id(self) -> int | None:
        """The position of the last event, None if there is none."""
        return self.datastore.retrying(self.reader.last_position) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> SQLAlchemySubscription:
        """Follows the application: see `SQLAlchemySubscription`.

        Args:
            gt: position to start after, None for the beginning.
            topics: of the events; empty for all.

        Raises:
            ProgrammingError: if `gt` is negative, or beyond the end.
            OperationalError: if the database cannot be reached.
        """
        return SQLAlchemySubscription(
            self, checked_count("gt", gt), checked_topics(topics)
        )
