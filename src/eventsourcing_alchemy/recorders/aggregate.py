"""Events, or snapshots, by aggregate."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from eventsourcing.persistence import AggregateRecorder, DatabaseError, StoredEvent
from sqlalchemy import Connection, Select, Table, insert

from eventsourcing_alchemy import statements, tables
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.validation import (
    ID_TYPES,
    checked_count,
    checked_events,
    checked_id,
    checked_name,
    refuse_tracking,
)


class SQLAlchemyAggregateRecorder(SQLAlchemyRecorder, AggregateRecorder):
    """Stores events, or snapshots, by aggregate, without positions.

    Args:
        datastore: the database.
        name: of the application.
        purpose: keeps records apart: those of one purpose are not seen by another.
    """

    def __init__(
        self, datastore: SQLAlchemyDatastore, name: str = "", purpose: str = "events"
    ) -> None:
        super().__init__(datastore, name)
        self.purpose = checked_name("The purpose", purpose)
        self._id_type = ID_TYPES[datastore.settings.originator_id_type]

    @property
    def _table(self) -> Table:
        return tables.snapshots if self._id_type is UUID else tables.text_snapshots

    def insert_events(
        self, stored_events: Sequence[StoredEvent], **kwargs: Any
    ) -> Sequence[int] | None:
        """Stores all of the events, or none.

        Args:
            stored_events: to store.
            **kwargs: ignored, but for a `tracking`, which is refused.

        Returns:
            None: they have no positions.

        Raises:
            IntegrityError: if a version of an aggregate is stored already.
            DataError: if something does not fit.
        """
        refuse_tracking(self, kwargs)
        events = checked_events(stored_events, self._id_type)
        if events:
            self.datastore.retrying(
                lambda: self._insert(events), lambda: self._are_stored(events) or None
            )
        return None

    def _insert(self, events: Sequence[StoredEvent]) -> bool:
        store = self.datastore
        with (
            self.transaction() as connection,
            store.answering(connection, takes_locks=True),
        ):
            application_id = self._application_id(connection)
            rows = [
                {
                    "application_id": application_id,
                    "purpose": self.purpose,
                    "originator_id": event.originator_id,
                    "originator_version": event.originator_version,
                    "topic": event.topic,
                    "state": event.state,
                }
                for event in events
            ]
            self._execute(connection, insert(self._table), rows)
        return True

    def _are_stored(self, events: Sequence[StoredEvent]) -> bool:
        """Whether exactly these events are stored."""
        return all([event] == self._select_version(event) for event in events)

    def _select_version(self, event: StoredEvent) -> Sequence[StoredEvent]:
        version = event.originator_version
        return self.select_events(event.originator_id, gt=version - 1, lte=version)

    def register(self) -> None:
        """Adds the application to the database, unless it is there.

        In a transaction of its own, so that the first events of an application, if
        they are rolled back, take nothing away that others wait for. Where the user
        of the database may only read, it is left to who may write.

        Raises:
            OperationalError: if the database cannot be reached.
        """
        if self.datastore.retrying(self._is_registered):
            return
        with suppress(DatabaseError):
            self.datastore.retrying(self._register)

    def _is_registered(self) -> bool:
        dialect, options = self.datastore.dialect, self.datastore.options
        with self.datastore.statement() as connection:
            return dialect.application_id(connection, self.name, options) is not None

    def _register(self) -> None:
        store = self.datastore
        with (
            self.transaction() as connection,
            store.answering(connection, takes_locks=True),
        ):
            store.dialect.register(connection, self.name, store.options)

    def _application_id(self, connection: Connection) -> int | None:
        dialect, options = self.datastore.dialect, self.datastore.options
        known = dialect.application_id(connection, self.name, options)
        if known is not None:
            return known
        dialect.register(connection, self.name, options)
        return dialect.application_id(connection, self.name, options)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The stored events of an aggregate, in the order of their versions.

        Args:
            originator_id: of the aggregate.
            gt: version above which to start.
            lte: version to end with.
            desc: whether the order is descending.
            limit: number of events at the most.

        Raises:
            DataError: if the ID is not of the type that is stored.
            ProgrammingError: if the limit is negative.
        """
        bounds = {"gt": gt, "lte": lte, "limit": checked_count("limit", limit)}
        parameters = {
            "application": self.name,
            "originator_id": checked_id(originator_id, self._id_type),
            **self._filters(),
            **{name: bound for name, bound in bounds.items() if bound is not None},
        }
        statement = statements.aggregate_events(
            self._table, desc, frozenset(parameters)
        )
        return self.datastore.retrying(
            lambda: self._select(originator_id, statement, parameters)
        )

    def _select(
        self,
        originator_id: UUID | str,
        statement: Select[Any],
        parameters: Mapping[str, Any],
    ) -> list[StoredEvent]:
        with self.datastore.statement() as connection:
            rows = self._execute(connection, statement, parameters)
            return [
                StoredEvent(
                    originator_id=originator_id,
                    originator_version=version,
                    topic=topic,
                    state=state,
                )
                for version, topic, state in rows
            ]

    def _filters(self) -> dict[str, str]:
        return {"purpose": self.purpose}
