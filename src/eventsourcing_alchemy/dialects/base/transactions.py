"""How transactions begin, and what can be known of their end."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

from sqlalchemy import (
    Connection,
    Engine,
)

from eventsourcing_alchemy.dialects.base.marks import Mark
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.statements.compiled import Compiled
from eventsourcing_alchemy.statements.driver import Written
from eventsourcing_alchemy.statements.executor import Executor

T = TypeVar("T")

BEFORE_A_STATEMENT = r"(?:\s|/\*.*?\*/|--[^\n]*\n)*"
"""What may stand there: blanks and comments."""

ENDS_TRANSACTIONS = re.compile(
    BEFORE_A_STATEMENT + r"("
    r"COMMIT\b|START\s+TRANSACTION\b|(?:END|ABORT)(?:\s+(?:WORK|TRANSACTION))?\s*(?:;|$)"
    r"|ROLLBACK\b(?!(?:\s+(?:WORK|TRAN|TRANSACTION))?\s+(?:TO\b|\w+$))"
    # Without one of these words, it may be a block of a procedural language.
    r"|BEGIN\s*(?:;|$|(?:WORK|TRAN|TRANSACTION|IMMEDIATE|DEFERRED|EXCLUSIVE|ISOLATION"
    r"|READ)\b))",
    re.IGNORECASE | re.DOTALL,
)
"""What ends the one that is open, and may begin another one."""


class Transactions:
    """How transactions begin, and what can be known of their end."""

    writes_alone: bool = False
    """Whether `append()`, and a single statement, are atomic within `alone()`."""

    is_brief: bool = False
    """Whether there is `in_own_transaction()`, which takes less time."""

    def writing(self, engine: Engine) -> AbstractContextManager[Engine]:
        """What to hold during a transaction that writes, and what to write with."""
        return nullcontext(engine)

    def ensure_begun(self, connection: Connection) -> None:
        """Makes sure that a transaction has begun in the database.

        Raises:
            ProgrammingError: if the connection commits each statement.
        """
        if self.commits_each_statement(connection):
            msg = (
                "The connection is in AUTOCOMMIT mode, which has no transactions: use "
                "a connection with another isolation_level"
            )
            raise ProgrammingError(msg)

    def commits_each_statement(self, connection: Connection) -> bool:
        """Whether the driver is in autocommit mode."""
        return getattr(connection.connection.dbapi_connection, "autocommit", 0) is True

    def mark(self, connection: Connection) -> Mark | None:  # noqa: ARG002
        """What tells the transaction that has begun from a later one.

        Returns:
            None where the driver does not know.
        """
        return None

    def is_aborted(self, connection: Connection) -> bool:  # noqa: ARG002
        """Whether the driver knows that the database would not commit."""
        return False

    def without_transactions(
        self,
        connection: Connection,  # noqa: ARG002
        schema: str | None,  # noqa: ARG002
        tables: Collection[str],  # noqa: ARG002
    ) -> Sequence[str]:
        """Tells which tables a rollback leaves as they are.

        Args:
            connection: where to look.
            schema: of the tables, None for the default one.
            tables: names.
        """
        return ()

    def refusal(self, statement: str) -> str | None:
        """Why a statement must not be executed within a transaction of ours.

        Args:
            statement: the SQL.

        Returns:
            None if it may be executed.
        """
        if (found := ENDS_TRANSACTIONS.match(statement)) is None:
            return None
        return (
            f"{found[1].upper()} inside a transaction: the block begins and ends it. "
            "Put connection.begin_nested() around a part that may fail alone"
        )

    def begins(self, driver_connection: Any) -> bool:  # noqa: ARG002
        """Whether `begin_with()` may be called, and saves a round trip."""
        return False

    def begin_with(
        self, driver_connection: Any, compiled: Compiled, bound: Any
    ) -> Written | None:
        """Begins a transaction, and executes its first statement, in one round trip.

        Args:
            driver_connection: in no transaction.
            compiled: the statement, which returns no rows.
            bound: its parameters, as the driver takes them.

        Returns:
            What was written; None if nothing was done, and the driver has to do it.
        """
        raise NotImplementedError

    def commits(self, driver_connection: Any) -> bool:  # noqa: ARG002
        """Whether `commit_with()` may be called, and saves a round trip."""
        return False

    def commit_with(
        self, driver_connection: Any, compiled: Compiled, rows: Sequence[Any]
    ) -> None:
        """Executes a statement, and commits, in one round trip.

        Where the statement fails, the transaction is there to be rolled back.

        Args:
            driver_connection: in a transaction.
            compiled: the statement, which returns no rows.
            rows: its parameters, as the driver takes them, to execute it once for each.
        """
        raise NotImplementedError

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:  # noqa: ARG002
        """Holds off others who would migrate the same database."""
        yield

    def committing_each(
        self,
        driver_connection: Any,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Makes each statement in the block a transaction, if that saves anything."""
        return nullcontext()

    def alone(self, executor: Executor) -> AbstractContextManager[None]:  # noqa: ARG002
        """A transaction of the dialect's own, within `writing()`."""
        return nullcontext()

    def in_own_transaction(
        self,
        engine: Engine,
        executor_on: Callable[[Connection], Executor],
        work: Callable[[Executor], T],
    ) -> T:
        """Does all that `writing()`, `alone()` and what is between them do, at once.

        Only where `is_brief`.

        Args:
            engine: for single statements that read.
            executor_on: makes an executor.
            work: to be called in the transaction.

        Returns:
            What the work returned.
        """
        raise NotImplementedError
