"""SQLite: BEGIN IMMEDIATE, WAL, one writer at a time."""

from collections.abc import Callable
from threading import get_ident
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.dialects.sqlite import insert

from eventsourcing_alchemy.dialects.base.dialect import BaseDialect
from eventsourcing_alchemy.dialects.on_conflict import OnConflictUpserts
from eventsourcing_alchemy.dialects.sqlite.appending import SQLiteAppending
from eventsourcing_alchemy.dialects.sqlite.bulk_inserting import SQLiteBulkInserting
from eventsourcing_alchemy.dialects.sqlite.connections import SQLiteConnections
from eventsourcing_alchemy.dialects.sqlite.diagnosis import SQLiteDiagnosis
from eventsourcing_alchemy.dialects.sqlite.errors import SQLiteErrors
from eventsourcing_alchemy.dialects.sqlite.side_effects import SQLiteSideEffects
from eventsourcing_alchemy.dialects.sqlite.stored_tables import SQLiteStoredTables
from eventsourcing_alchemy.dialects.sqlite.stored_values import SQLiteStoredValues
from eventsourcing_alchemy.dialects.sqlite.table_switch import SQLiteTableSwitch
from eventsourcing_alchemy.dialects.sqlite.transactions import SQLiteTransactions
from eventsourcing_alchemy.statements.executor import Executor

T = TypeVar("T")


class SQLiteDialect(
    SQLiteConnections,
    SQLiteErrors,
    SQLiteTransactions,
    SQLiteAppending,
    SQLiteBulkInserting,
    OnConflictUpserts,
    SQLiteSideEffects,
    SQLiteTableSwitch,
    SQLiteDiagnosis,
    SQLiteStoredTables,
    SQLiteStoredValues,
    BaseDialect,
):
    """What SQLite does differently."""

    insert = staticmethod(insert)

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Prepares an engine of ours, on which our transactions are our own."""
        super().configure(engine, lock_timeout)
        self.writes_alone = self.is_brief = True
        self.lock_timeout = lock_timeout

    def abandon(self) -> None:
        """Leaves connections and the lock to the parent process."""
        super().abandon()
        self.renew_lock()

    def in_own_transaction(
        self,
        engine: Engine,
        executor_on: Callable[[Connection], Executor],
        work: Callable[[Executor], T],
    ) -> T:
        """There is nothing to watch, and little else takes less time than that."""
        self.refuse_own_turn()
        acquired: list[bool] = []
        try:
            # As held() does it, in one step of the interpreter.
            acquired.extend(map(self.write_lock.acquire, (True,), (self.lock_timeout,)))
            if acquired != [True]:
                raise self.waited()
            self.writing_thread = get_ident()
            connection = self.take_writer(engine)
            try:
                executor = executor_on(connection)
                with self.alone(executor):
                    return work(executor)
            finally:
                self.give_writer_back(connection)
        finally:
            if acquired == [True]:
                self.writing_thread = None
                self.write_lock.release()
