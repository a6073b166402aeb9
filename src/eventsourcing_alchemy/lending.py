"""Connections for our own statements, each watched while it is used."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

from sqlalchemy import Connection

from eventsourcing_alchemy.collecting import flush_upserts
from eventsourcing_alchemy.connecting import close, connect
from eventsourcing_alchemy.engines import SharedEngine
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.executors import Compiled, Executor, is_observed
from eventsourcing_alchemy.interruptions import Interruption
from eventsourcing_alchemy.settings import Settings

KEPT_STATEMENTS = 200
"""Statements that are kept compiled, of which there are but some dozens."""


class Lender:
    """Lends connections of an engine, and executors on them.

    Attributes:
        options: execution options of our statements.

    Args:
        shared: the engine.
        settings: say for how long to wait, and which schema the tables are in.
    """

    def __init__(self, shared: SharedEngine, settings: Settings) -> None:
        self.options: Mapping[str, Any] = {}
        if settings.schema is not None:
            self.options = {"schema_translate_map": {None: settings.schema}}
        self._shared = shared
        self._answer_timeout = settings.answer_timeout
        self._lock_timeout = settings.lock_timeout
        self._reader = shared.engine.execution_options(**shared.dialect.reading_options)
        self._compiled = lru_cache(maxsize=KEPT_STATEMENTS)(
            partial(Compiled, dialect=shared.engine.dialect, schema=settings.schema)
        )

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
                        yield self._executor(connection, self._observed_options())
                finally:
                    close(connection)

    @contextmanager
    def writing_alone(self) -> Iterator[Executor]:
        """Executes what the dialect does in a transaction of its own."""
        dialect = self._shared.dialect
        # As every transaction that writes: first the turn, then a connection.
        with translated(), dialect.writing(self._shared.writer):
            connection = dialect.take_writer(self._reader)
            driver_connection = connection.connection.dbapi_connection
            with self._watching(driver_connection, None, takes_locks=True):
                try:
                    executor = self._executor(connection, self._observed_options())
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
        flush_upserts(connection)
        with self.answering(connection, interruption, takes_locks=takes_locks):
            yield self._executor(connection, self._observed_options())

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

    def _executor(
        self, connection: Connection, options: Mapping[str, Any] | None
    ) -> Executor:
        cursor = self._shared.dialect.cursor
        return Executor(connection, self._compiled, cursor, options)

    def _observed_options(self) -> Mapping[str, Any] | None:
        return self.options if is_observed(self._shared.engine) else None

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
