"""Events under the positions of an application."""

from collections.abc import Sequence
from sys import getsizeof
from typing import Any
from uuid import UUID

from sqlalchemy import Table

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.binds import Bind
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.group_commit import Size, last_positions
from eventsourcing_alchemy.database.joining import current_transaction
from eventsourcing_alchemy.dialects.base import Application
from eventsourcing_alchemy.errors import TransientError
from eventsourcing_alchemy.host import ApplicationRecorder, Notification, StoredEvent
from eventsourcing_alchemy.recorders.aggregate import SQLAlchemyAggregateRecorder
from eventsourcing_alchemy.recorders.tracking_modes import refuse_cached_in_batch
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.validation import (
    checked_bound,
    checked_count,
    checked_events,
    checked_topics,
    refuse_tracking,
)
from eventsourcing_alchemy.statements.renamed_topics import with_other_names
from eventsourcing_alchemy.subscriptions.notification_reader import (
    LAST_POSITION,
    NotificationReader,
    Scan,
)
from eventsourcing_alchemy.subscriptions.subscription import SQLAlchemySubscription


class SQLAlchemyApplicationRecorder(SQLAlchemyAggregateRecorder, ApplicationRecorder):
    """Stores the events of an application, and gives them positions.

    Positions (notification IDs) count from 1 without gaps, in the order of commits. On
    every database, whoever sees a position can see all lower ones.

    Attributes:
        caches_aggregates: whether the application does.

    Args:
        datastore: the database.
        name: the name of the application.
    """

    caches_aggregates = False

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        super().__init__(datastore, name)
        self.reader = NotificationReader(datastore, self._table, name)
        self._application = Application(name, datastore.schema)
        self._notifies = datastore.settings.subscribe != "poll"

    @property
    def _table(self) -> Table:
        return tables.events if self._id_type is UUID else tables.text_events

    def _filters(self) -> dict[str, str]:
        return {}

    def insert_events(
        self,
        stored_events: Sequence[StoredEvent],
        *,
        session: Bind | None = None,
        **kwargs: Any,
    ) -> Sequence[int] | None:
        """Stores all of the events at the next positions, or none.

        Args:
            stored_events: the events to store.
            session: your session or connection, to take part in its transaction.
            **kwargs: ignored, except that a `tracking` raises an error.

        Returns:
            The positions, in the order of the events.

        Raises:
            IntegrityError: if a version of an aggregate is already stored.
            DataError: if a value does not fit its column.
            OperationalError: if another transaction locks the application for too
                long, or the database stays out of reach. If the connection was lost
                in COMMIT, the events may be stored.
        """
        if session is not None:
            with self.datastore.transaction(session):
                return self.insert_events(stored_events, **kwargs)
        refuse_tracking(self, kwargs)
        events = checked_events(stored_events, self._id_type)
        if not events:
            return []
        with instrumentation.observer.appending(self.name, events) as appending:
            positions = self.datastore.retrying(
                lambda: self._append(events), lambda: self._refused_positions(events)
            )
            appending.stored(positions[-1])
        return positions

    def _append(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        if self.caches_aggregates:
            self._refuse_in_batch()
        key = self._table, self._application, self._notifies
        group_commit = self.datastore.group_commit(key)
        if group_commit is None:
            last = self._append_now(events)
        else:
            last = group_commit.append(events, _size, self._append_all)
        return list(range(last - len(events) + 1, last + 1))

    def _refuse_in_batch(self) -> None:
        transaction = current_transaction(self.datastore.engine)
        if transaction is not None:
            refuse_cached_in_batch(transaction.connection, self.name)

    def _append_all(self, group: Sequence[Sequence[StoredEvent]]) -> Sequence[int]:
        if len(group) == 1:
            return [self._append_now(group[0])]
        last = self._append_now([event for events in group for event in events])
        return last_positions(last, group)

    def _append_now(self, events: Sequence[StoredEvent]) -> int:
        store = self.datastore
        last = store.alone(
            lambda executor: store.dialect.append(
                executor, self._table, self._application, events, notify=self._notifies
            )
        )
        store.hint(self.reader.events_topic)
        return last

    def _refused_positions(self, events: Sequence[StoredEvent]) -> Sequence[int] | None:
        """As `_positions()`, of events that a constraint has refused.

        So there is something: a server that has nothing is behind the one that refused.
        """
        if all(self.reader.position(event) is None for event in events):
            msg = "The events that caused the conflict are not on this server yet"
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
        """Returns a page of events, in the order of positions.

        Args:
            start: the first position; None for the beginning.
            limit: the maximum number of events.
            stop: the last position; None for the end.
            topics: return only events with these topics; empty for all. Other names
                that `register_topic()` resolves to the same classes are included.
            inclusive_of_start: whether to include the event at `start`.

        Raises:
            ProgrammingError: if the limit is negative, or a bound is not a whole
                number.
        """
        checked_count("limit", limit)
        gt = max(0, (checked_bound("start", start) or 0) - inclusive_of_start)
        bound = checked_bound("stop", stop)
        stop = LAST_POSITION if bound is None else bound
        topics = with_other_names(checked_topics(topics))
        return self.datastore.retrying(
            lambda: Scan(self.reader, gt, topics, stop=stop).first(limit)
        )

    def max_notification_id(self) -> int | None:
        """Returns the position of the last event, or None if there is none."""
        return self.datastore.retrying(self.reader.last_position) or None

    def subscribe(
        self, gt: int | None = None, topics: Sequence[str] = ()
    ) -> SQLAlchemySubscription:
        """Follows the application: see `SQLAlchemySubscription`.

        Args:
            gt: the position to start after; None for the beginning.
            topics: return only events with these topics; empty for all. Other names
                that `register_topic()` has resolved to the same classes are included.

        Raises:
            ProgrammingError: if `gt` is negative, or beyond the last position.
            OperationalError: if the database cannot be reached.
        """
        topics = with_other_names(checked_topics(topics))
        if gt is not None:
            checked_count("gt", gt)
        return SQLAlchemySubscription(self, gt, topics, self.reader)


def _size(events: Sequence[StoredEvent]) -> Size:
    return Size(len(events), sum(getsizeof(event.state) for event in events))
