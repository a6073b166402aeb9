"""Materialised views: tables that change together with the tracking."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

from eventsourcing.persistence import Tracking
from sqlalchemy import Connection, Executable, MetaData, inspect
from sqlalchemy.orm import Session

from eventsourcing_alchemy.binds import Bind
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.upsert_plans import SCHEMAS, planned
from eventsourcing_alchemy.upserts import Upsert

_MAP_OUTSIDE = "eventsourcing_alchemy_schema_translate_map"


class SQLAlchemyMaterialisedView(SQLAlchemyTrackingRecorder):
    """Base class for views of the events of an application.

    A subclass declares tables, commands that change them within `processing()`, and
    queries that read them within `reading()`.

    Attributes:
        metadata: the tables of the view. With CREATE_TABLE, those that are missing are
            created when the view is constructed; without, they are yours to create,
            for instance by Alembic's autogenerate with this as `target_metadata`.

    Args:
        datastore: the database.
        name: of the projection.
    """

    metadata: ClassVar[MetaData | None] = None

    @contextmanager
    def transaction(self, bind: Bind | None = None) -> Iterator[Connection]:
        """As of every recorder; statements find the tables in `SQLALCHEMY_SCHEMA`.

        Tables that declare a schema of their own are found there.
        """
        with super().transaction(bind) as connection, self._in_schema(connection):
            yield connection

    @contextmanager
    def processing(self, tracking: Tracking) -> Iterator[Connection]:
        """A transaction in which an event is processed, once.

        The tracking comes first, so a duplicate fails before any of your statements,
        and others who process the same application wait here. All of it is committed
        at the end of the block, together, or nothing if an exception leaves it.

        Args:
            tracking: the application's name, and the position of the event.

        Yields:
            The connection for your statements.

        Raises:
            IntegrityError: if the event has been processed already.
        """
        with self.transaction() as connection:
            self._track(connection, tracking)
            yield connection

    def process(self, tracking: Tracking, statement: Executable) -> None:
        """Processes an event by one statement, as in a `processing()` block.

        On PostgreSQL, an `upsert()` that reads nothing but its own table is executed
        together with the tracking: one round trip instead of four.

        Args:
            tracking: the application's name, and the position of the event.
            statement: to be executed, if the event has not been processed before.

        Raises:
            IntegrityError: if the event has been processed already.
        """
        if not self._process_at_once(tracking, statement):
            with self.processing(tracking) as connection:
                connection.execute(statement)

    def _process_at_once(self, tracking: Tracking, statement: Executable) -> bool:
        """Whether it could be one transaction of one statement, and is done."""
        store = self.datastore
        if store.is_in_transaction() or not isinstance(statement, Upsert):
            return False
        plan = planned(statement, store.engine.dialect, store.schemas)
        if plan is None or plan.plan.tracked is None:
            return False
        parameters = {**self._parameters(tracking), **plan.named}
        with store.writing_alone() as executor:
            # Without a row, it is a duplicate, or the first event of all.
            is_done = executor.first(plan.plan.tracked, parameters) is not None
        if is_done:
            store.hint(self._topic)
        return is_done

    @contextmanager
    def session(self, tracking: Tracking) -> Iterator[Session]:
        """As `processing()`, with an ORM session, which is committed at the end.

        The session works in a savepoint: `session.rollback()` undoes what it did, not
        the tracking.

        Args:
            tracking: the application's name, and the position of the event.

        Yields:
            The session.

        Raises:
            IntegrityError: if the event has been processed already.
        """
        with (
            self.processing(tracking) as connection,
            Session(connection, join_transaction_mode="create_savepoint") as session,
        ):
            yield session
            session.commit()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries; what is written through it is rolled back.

        Inside of `transaction()` or `processing()`, it sees what was written there.

        Yields:
            The connection.
        """
        with (
            self.datastore.reading() as connection,
            self._in_schema(connection),
        ):
            yield connection

    @contextmanager
    def _in_schema(self, connection: Connection) -> Iterator[None]:
        before = connection.get_execution_options()
        current = before.get(SCHEMAS)
        # Views of different schemas may take part in one transaction.
        outside = before.get(_MAP_OUTSIDE, current)
        ours = self.datastore.options.get(SCHEMAS, outside)
        if ours == current:
            yield
            return
        connection.execution_options(**{SCHEMAS: ours, _MAP_OUTSIDE: outside})
        try:
            yield
        finally:
            connection.execution_options(**{SCHEMAS: current})

    def _missing_tables(self, connection: Connection) -> list[str]:
        inspector = inspect(connection)
        declared = self.metadata.sorted_tables if self.metadata is not None else []
        schema = self.datastore.settings.schema
        return super()._missing_tables(connection) + [
            table.fullname
            for table in declared
            if not inspector.has_table(table.name, table.schema or schema)
        ]

    def _create_tables(self, connection: Connection) -> None:
        super()._create_tables(connection)
        if self.metadata is not None:
            with self._in_schema(connection):
                self.metadata.create_all(connection)
