"""Connections for our own statements, each watched while it is used."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, Table

from eventsourcing_alchemy.database.engines import SharedEngine
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.resilience.connecting import close, connect
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.statements.compiled import Compiled
from eventsourcing_alchemy.statements.executor import (
    Executor,
    is_observed,
    listeners_of,
)
from eventsourcing_alchemy.upserts.buffer import Waiting
from eventsourcing_alchemy.upserts.buffered_connection import (
    buffer_of,
    flushed,
    wait_with_last,
)
from eventsourcing_alchemy.upserts.plans import SCHEMAS
from eventsourcing_alchemy.upserts.targets import Schemas

T = TypeVar("T")

KEPT_STATEMENTS = 200
"""Statements that are kept compiled, of which there are but some dozens."""


class ConnectionCheckout:
    """Lends connections of an engine, and executors on them.

    Attributes:
        schemas: the `schema_translate_map` of our statements.
        options: execution options of our statements.

    Args:
        shared: the engine.
        settings: say for how long to wait, and which schema the tables are in.
    """

    def __init__(self, shared: SharedEngine, settings: Settings) -> None:
        self.schemas = _schemas(shared.engine, settings.schema)
        # Also an empty one: a connection may have one for the caller's tables.
        self.options: Mapping[str, Any] = {SCHEMAS: self.schemas}
        self._shared = shared
        # What is not ours may return values in a way of its own.
        self._is_known = type(shared.dialect) is not BaseDialect
        self._answer_timeout = settings.answer_timeout
        self._lock_timeout = settings.lock_timeout
        self._reader = shared.engine.execution_options(**shared.dialect.reading_options)
        schema = self.schemas.get(None)
        self._compiled = lru_cache(maxsize=KEPT_STATEMENTS)(
            partial(Compiled, dialect=shared.engine.dialect, schema=schema)
        )

    def schema_of(self, table: Table) -> str | None:
        """The database schema that a table is in, None for the default one.

        Args:
            table: as it is declared.
        """
        return self.schemas.get(table.schema, table.schema)

    @contextmanager
    def borrowed(self, interruption: Interruption | None = None) -> Iterator[Executor]:
        """Executes statements, each of them a transaction where that is cheaper.

        Args:
            interruption: ends the wait for a connection, or for an answer.
        """
        with translated():
            connection = connect(self._reader, interruption)
            driver_connection = connection.connection.dbapi_connection
            with self._watching(driver_connection, interruption):
                try:
                    with self._shared.dialect.committing_each(driver_connection):
                        yield self._executor(connection)
                finally:
                    close(connection)

    def alone(self, work: Callable[[Executor], T]) -> T:
        """Calls a function in what the dialect does in a transaction of its own."""
        dialect = self._shared.dialect
        if not dialect.is_brief:
            with self._writing_alone() as executor:
                return work(executor)
        with translated():
            return dialect.in_own_transaction(self._reader, self._executor, work)

    @contextmanager
    def _writing_alone(self) -> Iterator[Executor]:
        """Executes what the dialect does in a transaction of its own."""
        dialect = self._shared.dialect
        # As every transaction that writes: first the turn, then a connection.
        with translated(), dialect.writing(self._shared.engine):
            connection = dialect.take_writer(self._reader)
            driver_connection = connection.connection.dbapi_connection
            with self._watching(driver_connection, None, takes_locks=True):
                try:
                    executor = self._executor(connection)
                    with (
                        dialect.committing_each(driver_connection),
                        dialect.alone(executor),
                    ):
                        yield executor
                finally:
                    dialect.give_writer_back(connection)

    @contextmanager
    def executing(
        self,
        connection: Connection,
        interruption: Interruption | None = None,
        *,
        takes_locks: bool = False,
    ) -> Iterator[Executor]:
        """Executes statements in the transaction of a connection.

        Args:
            connection: of this engine.
            interruption: ends the wait for an answer.
            takes_locks: whether the database may be waiting for locks.
        """
        with (
            flushed(connection),
            self.answering(connection, interruption, takes_locks=takes_locks),
        ):
            yield self._executor(connection)

    def answering(
        self,
        connection: Connection,
        interruption: Interruption | None = None,
        *,
        takes_locks: bool = False,
    ) -> AbstractContextManager[None]:
        """Takes the connection for lost where there is no answer in the block.

        Args:
            connection: of this engine.
            interruption: ends the wait for an answer.
            takes_locks: whether the database may be waiting for locks.
        """
        driver_connection = connection.connection.dbapi_connection
        return self._watching(driver_connection, interruption, takes_locks)

    def answering_if_open(self, connection: Connection) -> AbstractContextManager[None]:
        """As `answering()`, for the end of a transaction."""
        if connection.closed or connection.invalidated:
            return nullcontext()
        return self.answering(connection, takes_locks=True)

    def wait_for_commit(self, connection: Connection) -> None:
        """Has the last upsert wait for COMMIT, if one round trip does both.

        Args:
            connection: in a transaction that ends by `commit_with()`.
        """
        if (
            connection.engine is self._shared.writer
            and buffer_of(connection) is None
            and not connection.in_nested_transaction()
            and self._shared.dialect.commits(connection.connection.dbapi_connection)
            and not self._is_seen(connection)
        ):
            wait_with_last(connection)

    def flush_if_seen(self, connection: Connection) -> None:
        """Executes what waits for COMMIT, if somebody sees statements, or COMMIT."""
        buffer = buffer_of(connection)
        if buffer is not None and self._is_heard(connection):
            buffer.flush()

    def _is_heard(self, connection: Connection) -> bool:
        """Whether others than we listen for statements, or COMMIT."""
        ours: Any = self._shared.writer.dispatch
        found = listeners_of(connection)
        if self._shared.engine.dispatch.commit or found.after_cursor_execute:
            return True
        return found is not ours and (
            len(found.commit) > len(ours.commit)
            or len(found.before_cursor_execute) > len(ours.before_cursor_execute)
        )

    def commit_with(self, connection: Connection, waiting: Waiting) -> None:
        """Executes upserts, and commits.

        Args:
            connection: in a transaction that may be committed.
            waiting: the upserts.
        """
        plan, rows = waiting
        executor = Executor(connection, self._compiled, self._shared.dialect, None)
        with plan.target.noting_failures():
            executor.commit_with(plan.compiled, rows)

    def _executor(self, connection: Connection) -> Executor:
        dialect = self._shared.dialect
        options = self.options if self._is_seen(connection) else None
        return Executor(connection, self._compiled, dialect, options)

    def _is_seen(self, connection: Connection) -> bool:
        """Whether SQLAlchemy has to execute the statements."""
        engine = self._shared.engine
        if connection.dialect is engine.dialect:
            return not self._is_known or is_observed(engine)
        # Of the caller's, perhaps by another driver.
        return True

    def _watching(
        self,
        driver_connection: Any,
        interruption: Interruption | None,
        takes_locks: bool = False,
    ) -> AbstractContextManager[None]:
        patience = self._answer_timeout
        if takes_locks:
            patience += self._lock_timeout
        return self._shared.watchdog.watching(driver_connection, patience, interruption)


def _schemas(engine: Engine, schema: str | None) -> Schemas:
    """The map of the engine, if it is the user's own, with our schema for none."""
    schemas = dict(engine.get_execution_options().get(SCHEMAS) or {})
    return {**schemas, None: schema} if schema is not None else schemas
