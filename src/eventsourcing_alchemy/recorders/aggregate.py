"""Events, or snapshots, by aggregate."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from eventsourcing.persistence import AggregateRecorder, DatabaseError, StoredEvent
from sqlalchemy import Select, Table

from eventsourcing_alchemy import records, statements, tables
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.executors import Executor
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.validation import (
    ID_TYPES,
    checked_count,
    checked_events,
    checked_id,
    checked_name,
    refuse_tracking,
)

_RECORD = (
    "application_id_",
    "purpose_",
    "originator_id_",
    "originator_version_",
    "topic_",
    "state_",
)
"""Parameters of `statements.insert_event()`."""


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
        with self.datastore.writing() as executor:
            application_id = self._application_id(executor)
            rows = [
                (
                    application_id,
                    self.purpose,
                    event.originator_id,
                    event.originator_version,
                    event.topic,
                    event.state,
                )
                for event in events
            ]
            executor.execute_many(statements.insert_event(self._table), _RECORD, rows)
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
        with self.datastore.statement() as executor:
            return self._known_application_id(executor) is not None

    def _register(self) -> None:
        with self.datastore.writing() as executor:
            self.datastore.dialect.register(executor, self.name)

    def _application_id(self, executor: Executor) -> int | None:
        known = self._known_application_id(executor)
        if known is not None:
            return known
        self.datastore.dialect.register(executor, self.name)
        return self._known_application_id(executor)

    def _known_application_id(self, executor: Executor) -> int | None:
        row = executor.first(statements.application(), {"application": self.name})
        return None if row is None else int(row[0])

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
        with self.datastore.statement() as executor:
            rows = executor.rows(statement, parameters)
        return records.stored_events(originator_id, rows)

    def _filters(self) -> dict[str, str]:
        return {"purpose": self.purpose}
