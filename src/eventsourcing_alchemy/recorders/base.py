"""What all recorders have in common."""

import logging
from collections.abc import Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar

from sqlalchemy import Connection, MetaData, Table, inspect
from sqlalchemy.orm import Session

from eventsourcing_alchemy.database.binds import Bind
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import PersistenceError, ProgrammingError, Recorder
from eventsourcing_alchemy.orm.event_session import event_session
from eventsourcing_alchemy.schema import migrate, tables
from eventsourcing_alchemy.schema.namespaces import default_schema
from eventsourcing_alchemy.schema.validation import checked_name
from eventsourcing_alchemy.upserts.plans import SCHEMAS

logger = logging.getLogger("eventsourcing_alchemy")

_MAP_OUTSIDE = "eventsourcing_alchemy_schema_translate_map"


class SQLAlchemyRecorder(Recorder):
    """Base class of all recorders.

    Attributes:
        metadata: tables of your own, usually those of a view. With `CREATE_TABLE`, the
            recorder creates missing ones when you construct it. Otherwise, create
            them yourself, for example with Alembic's autogenerate and this as
            `target_metadata`.

    Args:
        datastore: the database.
        name: the name of the application or projection.

    Raises:
        DataError: if the name is too long.
    """

    metadata: ClassVar[MetaData | None] = None

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        self.datastore = datastore
        self.name = checked_name("The name", name)

    @contextmanager
    def transaction(
        self, bind: Bind | None = None, *, commit: bool = True
    ) -> Iterator[Connection]:
        """Opens a transaction that every recorder of the same database joins.

        See `SQLAlchemyDatastore.transaction()`. If the recorder has `metadata`, your
        statements find tables without a schema in `SQLALCHEMY_SCHEMA`.

        Args:
            bind: your connection or session, to take part in its transaction.
            commit: False for `reading()`.

        Yields:
            The connection, for statements of your own.
        """
        with (
            self.datastore.transaction(bind, commit=commit) as connection,
            self._among_own_tables(connection),
        ):
            yield connection

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Opens a transaction, like `transaction()`, and yields an ORM session.

        The block commits the session at its end. The session works in a savepoint:
        `session.rollback()` undoes what the session and recorders did in the block.

        Yields:
            The session.
        """
        with self.transaction() as connection, event_session(connection) as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yields a connection for queries. Do not write through it.

        What you write through it is rolled back; inside a transaction or a batch of a
        runner, it becomes part of that. Inside `transaction()`, queries see what the
        transaction has written.

        Yields:
            The connection.
        """
        with (
            self.datastore.reading() as connection,
            self._among_own_tables(connection),
        ):
            yield connection

    @apart_from_sessions()
    def create_table(self, *, of_metadata: bool = True) -> None:
        """Creates missing tables, by the migrations.

        Several processes may call this at the same time.

        Args:
            of_metadata: whether to create the tables of `metadata` too.

        Raises:
            DatabaseError: if the database refuses to create a table.
            ProgrammingError: if a table has a storage engine without transactions.
                The message names it.
        """
        before: Hashable = None
        while self._look_for_missing():
            try:
                self.datastore.retrying(lambda: self._create_missing(of_metadata))
                break
            except PersistenceError:
                # Where no lock keeps them apart, another process may have been faster.
                progress = self._progress()
                if progress == before:
                    raise
                before = progress

    def _create_missing(self, of_metadata: bool) -> None:
        with self.datastore.migrating() as connection:
            migrate.upgrade(connection, self.datastore.schema)
            if of_metadata:
                self._create_declared(connection)
            self._refuse_tables_without_transactions(connection)

    def _progress(self) -> Hashable:
        return self.datastore.retrying(self._look_once_for_progress)

    def _look_once_for_progress(self) -> Hashable:
        store = self.datastore
        with store.reading() as connection, store.answering(connection):
            missing = self._missing(connection)
            return *missing, migrate.current_revision(connection, store.schema)

    @apart_from_sessions()
    def check_table(self) -> None:
        """Checks that all tables exist.

        Raises:
            ProgrammingError: if a table is missing, or has a storage engine without
                transactions. The message names the tables and the remedy.
        """
        missing = self._look_for_missing()
        if missing:
            msg = (
                f"The database lacks {', '.join(missing)}, and CREATE_TABLE or "
                "CREATE_VIEW_TABLE is off: run 'alembic upgrade head' (for tables of "
                "your views, your own migration), or set the variable to yes"
            )
            raise ProgrammingError(msg)

    def _look_for_missing(self) -> list[str]:
        return self.datastore.retrying(self._look_once_for_missing)

    def _look_once_for_missing(self) -> list[str]:
        store = self.datastore
        with store.reading() as connection, store.answering(connection):
            self._refuse_tables_without_transactions(connection)
            return self._missing(connection)

    def _missing(self, connection: Connection) -> list[str]:
        store, schema = self.datastore, self._schema(connection)
        inspector = inspect(connection)
        return migrate.missing(connection, store.schema) + [
            table.fullname
            for table in self.own_tables
            if not inspector.has_table(table.name, store.schema_of(table) or schema)
        ]

    @property
    def own_tables(self) -> Sequence[Table]:
        """Those of `metadata`, first those that others refer to."""
        return [] if self.metadata is None else self.metadata.sorted_tables

    def _refuse_tables_without_transactions(self, connection: Connection) -> None:
        store = self.datastore
        names = {store.schema: [*tables.metadata.tables]}
        for table in self.own_tables:
            names.setdefault(store.schema_of(table), []).append(table.name)
        found = [
            name
            for schema, each in names.items()
            for name in store.dialect.without_transactions(connection, schema, each)
        ]
        if found:
            msg = (
                f"The storage engine of {', '.join(found)} has no transactions: a "
                f"rollback would undo the position, not the rest. ALTER TABLE … "
                f"ENGINE=InnoDB, and let views declare no other engine"
            )
            raise ProgrammingError(msg)

    def _create_declared(self, connection: Connection) -> None:
        missing = self._missing(connection)
        if self.metadata is None or not missing:
            return
        self.create_own_tables(connection)
        logger.info(
            "Created the tables %s of %s. A migration of your own that creates them "
            "will fail: set CREATE_VIEW_TABLE=no if you have one",
            ", ".join(missing),
            type(self).__name__,
        )

    def create_own_tables(self, connection: Connection) -> None:
        """Creates those of `metadata` that the database lacks.

        Args:
            connection: in a transaction that changes the schema.
        """
        if self.metadata is not None:
            with self._in_schema(connection, self._schema(connection)):
                self.metadata.create_all(connection)

    def _schema(self, connection: Connection) -> str | None:
        return self.datastore.schema or default_schema(connection)

    def _among_own_tables(self, connection: Connection) -> AbstractContextManager[None]:
        return nullcontext() if self.metadata is None else self._in_schema(connection)

    def _in_schema(
        self, connection: Connection, schema: str | None = None
    ) -> AbstractContextManager[None]:
        before = connection.get_execution_options()
        current = before.get(SCHEMAS)
        # Recorders of different schemas may take part in one transaction.
        outside = before.get(_MAP_OUTSIDE, current)
        ours = self.datastore.schemas or outside
        if schema is not None:
            ours = {**(ours or {}), None: schema}
        if ours == current:
            return nullcontext()
        return _mapping(connection, {SCHEMAS: ours, _MAP_OUTSIDE: outside})


@contextmanager
def _mapping(connection: Connection, options: dict[str, Any]) -> Iterator[None]:
    current = connection.get_execution_options().get(SCHEMAS)
    connection.execution_options(**options)
    try:
        yield
    finally:
        connection.execution_options(**{SCHEMAS: current})
