"""Materialised views: tables that change together with the tracking."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar, Self

from sqlalchemy import Connection, Executable, MetaData, Table
from sqlalchemy.orm import Session

from eventsourcing_alchemy.environments import check_persistence_module
from eventsourcing_alchemy.host import (
    Environment,
    EnvType,
    InfrastructureFactory,
    Tracking,
)
from eventsourcing_alchemy.orm.event_session import event_session
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.upserts.parameters import Parameters
from eventsourcing_alchemy.upserts.statement import Upsert

PATIENCE = 0.1
"""Seconds in which `process()` replaces a stale connection, or retries a conflict."""


class SQLAlchemyMaterialisedView(SQLAlchemyTrackingRecorder):
    """Base class for materialised views.

    A subclass declares its tables in `metadata`, and has methods of two kinds: commands
    change the tables inside `processing()`, queries read them inside `reading()`.

    Args:
        datastore: the database.
        name: the name of the projection.
    """

    metadata: ClassVar[MetaData | None] = MetaData()

    @classmethod
    @contextmanager
    def opened(cls, projection_name: str, env: EnvType | None = None) -> Iterator[Self]:
        """Opens the view for reading, with the settings of its projection.

        Args:
            projection_name: the name of the projection, which is also the prefix of its
                environment variables.
            env: environment variables, in addition to those of the process.

        Yields:
            The view. The block closes its connections at the end.

        Raises:
            ConfigurationError: if `PERSISTENCE_MODULE` is not set or names another
                module, or a variable has a value that cannot be used.
        """
        variables = Environment(projection_name, {**os.environ, **(env or {})})
        check_persistence_module(variables)
        constructed: InfrastructureFactory[Self]
        constructed = InfrastructureFactory.construct(variables)
        with closing(constructed) as factory:
            yield factory.tracking_recorder(cls)

    @contextmanager
    def processing(self, tracking: Tracking) -> Iterator[Connection]:
        """Opens a transaction that processes an event exactly once.

        The block first records the position of the event. So a duplicate fails before
        your first statement, and rivals for the same event wait here. At the end, the
        block commits the position and your changes together. If an exception leaves
        the block, it commits nothing.

        Args:
            tracking: the name of the application, and the position of the event.

        Yields:
            The connection for your statements.

        Raises:
            IntegrityError: if the event was already processed.
        """
        self._refuse_beside_batch(tracking)
        with self.transaction() as connection:
            self._track(connection, tracking)
            self.datastore.wait_for_commit(connection)
            yield connection

    def process(
        self,
        tracking: Tracking,
        statement: Executable,
        parameters: Parameters | Sequence[Parameters] | None = None,
    ) -> None:
        """Processes an event with one statement, like a `processing()` block.

        On PostgreSQL, an `upsert()` and the position then take one round trip, not
        four, provided that the upsert reads nothing but its own row, and the table has
        no triggers, no policies, and no functions of yours in defaults and constraints.
        (The package looks for these every 10 seconds.)

        Args:
            tracking: the name of the application, and the position of the event.
            statement: the statement to execute, unless the event was already processed.
            parameters: its parameters, as for `Connection.execute()`.

        Raises:
            IntegrityError: if the event was already processed.
        """
        if self.datastore.is_in_transaction():
            with self.transaction() as connection:
                self._track(connection, tracking)
                connection.execute(statement, parameters)
            return
        self._refuse_beside_batch(tracking)
        name, position = tracking.application_name, tracking.notification_id
        self.datastore.retrying(
            lambda: self._process(tracking, statement, parameters),
            lambda: self.has_tracking_id(name, position) or None,
            # A runner waits out outages itself, and tells of them at once.
            timeout=PATIENCE,
        )

    def _process(
        self, tracking: Tracking, statement: Executable, parameters: Any
    ) -> bool:
        if not self._process_at_once(tracking, statement, parameters):
            with self.processing(tracking) as connection:
                connection.execute(statement, parameters)
        return True

    def _process_at_once(
        self, tracking: Tracking, statement: Executable, parameters: Any
    ) -> bool:
        """Whether it could be one transaction of one statement, and is done."""
        store = self.datastore
        if not isinstance(statement, Upsert) or isinstance(parameters, Sequence):
            return False
        values = statement.checked(parameters or {})
        found = statement.planned(store.engine.dialect, store.schemas)
        if found is None or found.plan.tracked is None:
            return False
        if found.plan.target.has_side_effects(self.datastore.reading):
            return False  # They would see the database as it was before the wait.
        both = {**self._parameters(tracking), **found.by_name(values)}
        tracked = found.plan.tracked
        # Without a row, it is a duplicate, or the first event of all.
        is_done = (
            store.alone(lambda executor: executor.first(tracked, both)) is not None
        )
        if is_done:
            self._has_tracked(tracking)
        return is_done

    def table_name(self, table: Table) -> str:
        """Returns the name of a table of this view, to use in text SQL.

        While a view is being rebuilt, its tables have other names.

        Args:
            table: a table of `metadata`.

        Returns:
            The name with its schema, quoted if necessary.
        """
        preparer = self.datastore.engine.dialect.identifier_preparer
        schema = self.datastore.schema_of(table)
        name = preparer.format_table(table, use_schema=False)
        return name if schema is None else f"{preparer.quote_schema(schema)}.{name}"

    @contextmanager
    def session(self, tracking: Tracking | None = None) -> Iterator[Session]:
        """Opens a transaction, like `processing()`, and yields an ORM session.

        The block commits the session at its end. The session works in a savepoint:
        `session.rollback()` undoes what the session and recorders did in the block,
        not the tracking.

        Args:
            tracking: the name of the application, and the position of the event. None
                opens a transaction that processes no event.

        Yields:
            The session.

        Raises:
            IntegrityError: if the event was already processed.
        """
        block = self.transaction() if tracking is None else self.processing(tracking)
        with block as connection, event_session(connection) as session:
            yield session
