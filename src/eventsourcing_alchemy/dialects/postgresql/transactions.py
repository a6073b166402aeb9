"""Transactions, whose state the drivers know."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from psycopg.pq import TransactionStatus
from sqlalchemy import (
    Connection,
    func,
    select,
)
from sqlalchemy.exc import DBAPIError

from eventsourcing_alchemy.dialects.base.marks import Mark
from eventsourcing_alchemy.dialects.base.transactions import Transactions
from eventsourcing_alchemy.dialects.postgresql import round_trips
from eventsourcing_alchemy.dialects.postgresql.counting_cursor import (
    CountedMark,
    is_counting,
)
from eventsourcing_alchemy.dialects.postgresql.drivers import transaction_status
from eventsourcing_alchemy.dialects.postgresql.functions import Functions
from eventsourcing_alchemy.dialects.postgresql.locks import CHANNEL, lock_key
from eventsourcing_alchemy.statements.compiled import Compiled
from eventsourcing_alchemy.statements.driver import Written


class PostgreSQLTransactions(Transactions):
    """Transactions, whose state the drivers know."""

    writes_alone = True

    def mark(self, connection: Connection) -> Mark | None:
        """The number of the transaction, where psycopg's cursors count them."""
        driver_connection = connection.connection.dbapi_connection
        return (
            CountedMark(driver_connection) if is_counting(driver_connection) else None
        )

    def is_aborted(self, connection: Connection) -> bool:
        """Whether a statement failed: COMMIT is a ROLLBACK then, but succeeds."""
        status = transaction_status(connection.connection.dbapi_connection)
        return status == TransactionStatus.INERROR

    def begins(self, driver_connection: Any) -> bool:
        """By psycopg, which would send BEGIN by itself, and wait for the answer."""
        return round_trips.can_begin(driver_connection)

    def begin_with(
        self, driver_connection: Any, compiled: Compiled, bound: Any
    ) -> Written | None:
        """By psycopg."""
        return round_trips.begin_with(driver_connection, compiled, bound)

    def commits(self, driver_connection: Any) -> bool:
        """By psycopg."""
        return round_trips.can_pipeline(driver_connection)

    def commit_with(
        self, driver_connection: Any, compiled: Compiled, rows: Sequence[Any]
    ) -> None:
        """By psycopg."""
        round_trips.commit_with(driver_connection, compiled, rows)

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Waits for an advisory lock, which the end of the transaction releases."""
        try:
            with connection.begin_nested():
                lock = func.pg_advisory_xact_lock(lock_key(CHANNEL))
                connection.execute(select(lock))
        except DBAPIError as error:
            if not Functions().do_without(error):
                raise
        yield

    @contextmanager
    def committing_each(self, driver_connection: Any) -> Iterator[None]:
        """Saves BEGIN and COMMIT."""
        before = driver_connection.autocommit
        if (
            not before
            and transaction_status(driver_connection) == TransactionStatus.INTRANS
        ):
            # A listener of the user's has begun it, with a SET, say. What follows would
            # be part of it, and not be committed.
            driver_connection.commit()
        try:
            driver_connection.autocommit = True
            yield
        finally:
            # Of a connection that is lost, nobody will ask.
            with suppress(Exception):
                driver_connection.autocommit = before
