"""A transaction, as recorders join it, and what must be true before it commits."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NestedTransaction, event
from sqlalchemy.orm import Session

from eventsourcing_alchemy.database.callers import current_caller
from eventsourcing_alchemy.database.savepoints import names_around
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.base.marks import Mark
from eventsourcing_alchemy.dialects.base.transactions import BEFORE_A_STATEMENT
from eventsourcing_alchemy.dialects.lookup import dialect_for
from eventsourcing_alchemy.errors import (
    LOST,
    ConnectionLostError,
    TransactionEndedError,
)
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.resilience.inheritance import leave_connection_to_parent

_FAILED = (
    "A part of this transaction failed, and your code caught the exception, so "
    "everything is rolled back. Put 'with connection.begin_nested():' around a part "
    "that may fail alone"
)

ENDED = (
    "The transaction ended inside its block: a statement in the block committed it or "
    "rolled it back, or the database did so after an error. Later statements are not "
    "part of it, and nothing more is committed. Let the block end the transaction, "
    "and put connection.begin_nested() around a part that may fail alone"
)

_ELSEWHERE = (
    "A transaction() block ended in another thread or task than it began in, so it is "
    "rolled back: it did not include what other threads and tasks did meanwhile. "
    "Enter and leave the block in the thread or task that does the work; for the "
    "dependencies of a web framework, see transaction(session)"
)

_OUTLIVED = (
    "A transaction() block ended before another one that was entered inside it, so it "
    "is rolled back. Leave the blocks of generators in the reverse order in which you "
    "entered them"
)

_IN_MIDST = (
    "This code runs in the midst of an operation on the same database in the same "
    "thread, as a signal handler or a finalizer does, so it cannot use the database: "
    "set a threading.Event there, and do the work afterwards"
)

_OF_PARENT = (
    "This process was forked inside a transaction() block. The transaction belongs to "
    "the parent process: this process is not inside it, and its recorders have used "
    "transactions of their own. Fork outside of the block, or end the child process by "
    "os._exit()"
)

_PLAIN_SAVEPOINT = re.compile(
    rf"{BEFORE_A_STATEMENT}SAVEPOINT\s+(?!sa_savepoint_)", re.I | re.S
)
"""One that SQLAlchemy does not know of."""


class OpenTransaction:
    """A connection that the recorders of one database join.

    Attributes:
        connection: SQLAlchemy's.
        writes: whether it is in a transaction that is to be committed.
        is_ours: whether nothing but our own statements is executed in it.
        after_commit: what is to be called then.
        owner: the thread and task that opened it.
        covered: what is hidden by it, from code in its context or of its owner.
        refuse_reader: is called when code reads that has its context, but cannot join.
        session: of the caller's, whose connection it is; None for none.

    Args:
        connection: is in the transaction, or savepoint, that is the transaction.
        writes: as above.
        is_ours: as above.
        mark: tells the transaction from a later one.
        refusal: why a statement must not be executed in it, None if it may.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        writes: bool,
        is_ours: bool = False,
        mark: Mark | None = None,
        refusal: Callable[[str], str | None] = lambda _: None,
    ) -> None:
        self.connection = connection
        self.writes = writes
        self.is_ours = is_ours
        self.after_commit: list[Callable[[], None]] = []
        self._mark = mark or Mark()
        self._refusal = refusal
        self.owner = current_caller()
        self.covered: list[OpenTransaction] = []
        self.refuse_reader: Callable[[], None] = lambda: None
        self.session: Session | None = None
        self._savepoint = connection.get_nested_transaction()
        self._transaction = self._savepoint or connection.get_transaction()
        self._has_failed = False
        self._open_parts = 0
        self._failed_parts: list[set[str]] = []
        """By the savepoints that contain one, as long as none is rolled back."""
        self._hears_of_rollbacks = False
        self._is_lost = False
        self._is_left = False
        self._is_of_parent = False
        self._has_plain_savepoints = False

    def is_open(self) -> bool:
        """Whether its block has not ended."""
        return not self._is_left

    def is_pending(self) -> bool:
        """Whether it, or one that it covers, is to be committed by its block."""
        # Closed, if a signal handler has interrupted the end of the block.
        is_own = self.writes and self.is_open() and not self.connection.closed
        return is_own or any(each.is_pending() for each in self.covered)

    def is_joinable(self) -> bool:
        """Whether the calling code is inside it.

        Tasks and threads that are started inside get a copy of the context, but may
        outlive the transaction, or use the connection while its own task does.
        """
        return not self._is_left and self.owner == current_caller()

    def is_whole(self) -> bool:
        """Whether nothing can roll back a part of it now, nor the caller all of it."""
        is_nested = self.connection.in_nested_transaction()
        return not is_nested and not self._has_plain_savepoints

    @contextmanager
    def nested(self) -> Iterator[None]:
        """A part of the transaction, without which the rest must not be committed.

        Only a savepoint of the user's that is rolled back contains a failure.
        """
        savepoint = self.connection.get_nested_transaction()
        self._open_parts += 1
        try:
            yield
            self._refuse_to_outlive()
        except BaseException:
            if savepoint is None or savepoint is self._savepoint:
                self._has_failed = True
            elif savepoint.is_active:
                self._fail_unless_undone(savepoint)
            raise
        finally:
            self._open_parts -= 1

    def _refuse_to_outlive(self) -> None:
        if self._is_left:
            raise ProgrammingError(_OUTLIVED)

    def _fail_unless_undone(self, savepoint: NestedTransaction) -> None:
        if not self._hears_of_rollbacks:
            event.listen(self.connection, "rollback_savepoint", self._note_rollback)
            self._hears_of_rollbacks = True
        self._failed_parts.append(names_around(savepoint))

    def _note_rollback(self, _: Connection, name: str, *__: Any) -> None:
        self._failed_parts = [each for each in self._failed_parts if name not in each]

    def look(self) -> bool:
        """Whether the transaction is known to have ended; remembers that it has."""
        self._is_lost = self._is_lost or not self._is_active() or self._mark.has_ended()
        return self._is_lost

    def _is_active(self) -> bool:
        is_active = self._transaction is not None and self._transaction.is_active
        return is_active and not self.connection.invalidated

    def verify(self, statement: str = "") -> None:
        """Makes sure that a statement becomes part of the transaction.

        Args:
            statement: the SQL, if it is the user's.

        Raises:
            ProgrammingError: if the transaction has ended, or the statement would end
                it.
        """
        if not self.writes:
            return
        if self._mark.is_busy():
            raise ProgrammingError(_IN_MIDST)
        self.refuse_in_child()
        if statement and (refusal := self._refusal(statement)) is not None:
            raise ProgrammingError(refusal)
        if _PLAIN_SAVEPOINT.match(statement):
            self._has_plain_savepoints = True
        # Back to a savepoint, the database itself refuses with the better reason.
        if self.connection.invalidated:
            raise ConnectionLostError(LOST)
        if self.look() and not statement.startswith("ROLLBACK"):
            raise TransactionEndedError(ENDED)

    def refuse_in_child(self) -> None:
        """Makes sure that this process is not a child of the one that began it.

        Raises:
            TransactionEndedError: if it is.
        """
        if self._is_of_parent:
            raise TransactionEndedError(_OF_PARENT)

    def refuse_in_midst(self) -> None:
        """Makes sure that the caller has not interrupted one of our own operations.

        Raises:
            ProgrammingError: if it has. What it would record may be rolled back.
        """
        if self.is_ours:
            raise ProgrammingError(_IN_MIDST)

    def check(self, dialect: BaseDialect) -> None:
        """Makes sure that what is committed is everything.

        Databases, and drivers, answer COMMIT with success where it rolls back, and
        where there is nothing to commit any more.

        Raises:
            ProgrammingError: if something failed, and its exception was caught, or if
                the transaction is not the one that began.
        """
        self.verify()
        if self._open_parts:
            raise ProgrammingError(_OUTLIVED)
        has_failed = self._has_failed or self._failed_parts
        if has_failed or dialect.is_aborted(self.connection):
            raise ProgrammingError(_FAILED)
        if not self._mark.is_kept():
            raise TransactionEndedError(ENDED)

    def leave(self) -> None:
        """Lets nobody join it any more.

        Raises:
            ProgrammingError: in another thread or task than the one that opened it.
        """
        self._is_left = True
        self.covered.clear()
        if self._hears_of_rollbacks:  # The connection may be the caller's, and live on.
            event.remove(self.connection, "rollback_savepoint", self._note_rollback)
            self._hears_of_rollbacks = False
        if self.writes and self.owner != current_caller():
            raise ProgrammingError(_ELSEWHERE)

    def leave_to_parent(self) -> None:
        """Has a forked child send nothing on the connection, also not ROLLBACK."""
        connection = self.connection
        dialect = dialect_for(connection.engine.url.get_backend_name())
        if dialect.is_private(connection.engine.url):
            return  # The child has a database of its own.
        self._is_of_parent = True
        if not connection.closed and not connection.invalidated:
            leave_connection_to_parent(connection)
