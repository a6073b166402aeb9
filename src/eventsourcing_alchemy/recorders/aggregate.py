"""Events, or snapshots, by aggregate."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Table

from eventsourcing_alchemy.database.binds import Bind
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import AggregateRecorder, StoredEvent
from eventsourcing_alchemy.recorders.registered import RegisteredRecorder
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.validation import (
    ID_TYPES,
    checked_bound,
    checked_events,
    checked_limit,
    checked_name,
    id_to_read,
    refuse_tracking,
)
from eventsourcing_alchemy.statements import row_mapping
from eventsourcing_alchemy.statements.events import aggregate_events, insert_event

_RECORD = (
    "application_id_",
    "purpose_",
    "originator_id_",
    "originator_version_",
    "topic_",
    "state_",
)
"""Parameters of `insert_event()`."""


class SQLAlchemyAggregateRecorder(RegisteredRecorder, AggregateRecorder):
    """Stores events or snapshots by aggregate, without positions.

    Args:
        datastore: the database.
        name: the name of the application.
        purpose: keeps records apart: a recorder sees only those of its own purpose.
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
        self,
        stored_events: Sequence[StoredEvent],
        *,
        session: Bind | None = None,
        **kwargs: Any,
    ) -> Sequence[int] | None:
        """Stores all of the events, or none.

        Args:
            stored_events: the events to store.
            session: your session or connection, to take part in its transaction.
            **kwargs: ignored, except that a `tracking` raises an error.

        Returns:
            None, because these records have no positions.

        Raises:
            IntegrityError: if a version of an aggregate is already stored.
            DataError: if a value does not fit its column.
        """
        if session is not None:
            with self.datastore.transaction(session):
                return self.insert_events(stored_events, **kwargs)
        refuse_tracking(self, kwargs)
        events = checked_events(stored_events, self._id_type)
        if events:
            self.datastore.retrying(
                lambda: self._insert(events), lambda: self._are_stored(events) or None
            )
        return None

    def _insert(self, events: Sequence[StoredEvent]) -> bool:
        with self.datastore.writing() as executor:
            self.datastore.dialect.refuse_too_large(executor, events)
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
            executor.execute_many(insert_event(self._table), _RECORD, rows)
        return True

    def _are_stored(self, events: Sequence[StoredEvent]) -> bool:
        """Whether exactly these events are stored.

        Those of a subclass differ from what is read, although nothing of it is stored.
        """
        return all(
            [(event.topic, event.state)]
            == [(each.topic, each.state) for each in self._select_version(event)]
            for event in events
        )

    def _select_version(self, event: StoredEvent) -> Sequence[StoredEvent]:
        version = event.originator_version
        return self.select_events(event.originator_id, gt=version - 1, lte=version)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Returns stored events of an aggregate, in the order of their versions.

        Args:
            originator_id: the ID of the aggregate. You may pass a UUID as text.
            gt: return only versions above this one.
            lte: return only versions up to this one.
            desc: whether to return the highest version first.
            limit: the maximum number of events.

        Raises:
            DataError: if the ID does not have the type that is stored.
            ProgrammingError: if the limit is negative, or a bound is not a whole
                number.
        """
        originator_id = id_to_read(originator_id, self._id_type)
        bounds = {
            "gt": checked_bound("gt", gt),
            "lte": checked_bound("lte", lte),
            "limit": checked_limit(limit),
        }
        parameters = {
            "application": self.name,
            "originator_id": originator_id,
            **self._filters(),
            **{name: bound for name, bound in bounds.items() if bound is not None},
        }
        statement = aggregate_events(self._table, desc, frozenset(parameters))
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
        return row_mapping.stored_events(originator_id, rows)

    def _filters(self) -> dict[str, str]:
        return {"purpose": self.purpose}
