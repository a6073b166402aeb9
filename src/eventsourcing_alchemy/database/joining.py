"""Which transaction the calling code, and what is executed on a connection, is in."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from os import register_at_fork
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.orm import Session

from eventsourcing_alchemy.database.callers import current_caller
from eventsourcing_alchemy.database.transactions import OpenTransaction
from eventsourcing_alchemy.errors import is_about_lost_connection
from eventsourcing_alchemy.host import ProgrammingError

_NOT_JOINABLE = (
    "This code is inside a transaction() block, but cannot join it: the block was "
    "entered in another thread, task or context, so the transaction would not include "
    "what is written here. Enter the block in the thread or task that does the work; "
    "for the dependencies of a web framework, see transaction(session)"
)

_IN_READING = (
    "Cannot write inside a reading() block, which rolls back at its end: leave the "
    "block before you write, or open a transaction() instead"
)

_in_context: ContextVar[Mapping[int, OpenTransaction]] = ContextVar(
    "transactions",
    default={},  # noqa: B039 (replaced, never changed)
)
"""By engine, what the current context is inside."""

_by_connection: dict[Connection, OpenTransaction] = {}
"""What is executed on a connection is part of it, in whichever context."""

_by_caller: dict[Hashable, OpenTransaction] = {}
"""By engine and caller, what the caller has entered in whichever context."""


def _leave_to_parent() -> None:
    for transaction in list(_by_connection.values()):
        transaction.leave_to_parent()
    _in_context.set({})
    _by_connection.clear()
    _by_caller.clear()


register_at_fork(after_in_child=_leave_to_parent)


def current_transaction(engine: Engine) -> OpenTransaction | None:
    """What the calling code is inside, for an engine."""
    transaction = _in_context.get().get(id(engine))
    return (
        transaction if transaction is not None and transaction.is_joinable() else None
    )


def transaction_to_read_in(engine: Engine) -> OpenTransaction | None:
    """As `current_transaction()`, for what may have to see what it has written.

    Raises:
        ProgrammingError: if the context is inherited from another thread or task, which
            is inside a transaction that refuses those who read beside it.
    """
    transaction = _in_context.get().get(id(engine))
    if transaction is None or transaction.is_joinable():
        return transaction
    if transaction.is_open():
        transaction.refuse_reader()
    return None


def refuse_readers(connection: Connection, refuse: Callable[[], None]) -> None:
    """Refuses those who read beside the transaction of a connection, in its context.

    Args:
        connection: in a transaction that recorders join.
        refuse: raises the exception.
    """
    _by_connection[connection].refuse_reader = refuse


def refuse_around(engine: Engine) -> None:
    """Makes sure that there is no open transaction around code which has not joined it.

    The context may be inherited from another thread or task that is inside one. The
    thread may have entered one in another context, in a generator, say.

    Raises:
        ProgrammingError: if there is.
    """
    key = id(engine)
    inherited = _in_context.get().get(key)
    if inherited is None and not _by_caller:
        return
    entered = _by_caller.get((key, current_caller()))
    if any(each is not None and each.is_pending() for each in (inherited, entered)):
        raise ProgrammingError(_NOT_JOINABLE)


class joinable:  # noqa: N801 (it is used as a function is)
    """Lets recorders join a transaction for the time of the block.

    Not a generator, which takes longer, and a block begins with each event. As of a
    generator, what an interrupt has kept from being undone is undone with the object.

    Raises:
        ProgrammingError: if the block ends in another thread or task.
    """

    __slots__ = "_before", "_engine", "_is_registered", "_outer", "_transaction"

    def __init__(self, engine: Engine, transaction: OpenTransaction) -> None:
        self._engine = id(engine)
        self._transaction = transaction
        self._is_registered = False

    def __enter__(self) -> None:
        """Registers it."""
        transaction, context = self._transaction, _in_context.get()
        self._outer = context.get(self._engine)
        by_caller = self._engine, transaction.owner
        self._before = (
            _by_connection.get(transaction.connection),
            _by_caller.get(by_caller),
        )
        covered = (self._outer, *self._before)
        # The context may be a copy of one in which a block has ended since.
        transaction.covered = [each for each in covered if each and each.is_open()]
        self._is_registered = True
        _in_context.set({**context, self._engine: transaction})
        _by_connection[transaction.connection] = transaction
        _by_caller[by_caller] = transaction

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        """Undoes that."""
        self._unregister()
        if kind is GeneratorExit:  # Of the garbage collector, in whichever thread.
            with suppress(ProgrammingError):
                self._transaction.leave()
        elif self._transaction.is_open():
            self._transaction.leave()
        if is_about_lost_connection(error):  # Or was left to the parent process.
            self._transaction.refuse_in_child()

    def __del__(self) -> None:
        if getattr(self, "_is_registered", False):
            self._unregister()

    def _unregister(self) -> None:
        transaction, (by_connection, by_caller) = self._transaction, self._before
        key = self._engine, transaction.owner
        _unregister(_by_connection, transaction.connection, transaction, by_connection)
        _unregister(_by_caller, key, transaction, by_caller)
        self._leave_context()
        self._is_registered = False

    def _leave_context(self) -> None:
        # Not by the token of set(): a generator may end in another context than the
        # one it began in, and blocks of generators end in any order.
        context, key, outer = _in_context.get(), self._engine, self._outer
        if context.get(key) is self._transaction:
            others = {k: other for k, other in context.items() if k != key}
            _in_context.set(others if outer is None else {**others, key: outer})


def _unregister(
    transactions: dict[Any, OpenTransaction],
    key: Hashable,
    transaction: OpenTransaction,
    outer: OpenTransaction | None,
) -> None:
    if outer is not None and outer.is_open():
        transactions[key] = outer
    elif transactions.get(key) is transaction:
        del transactions[key]


def joined_connections() -> list[tuple[Connection, Session | None]]:
    """The connections that recorders join, each with the session it was got from."""
    return [(each, of.session) for each, of in list(_by_connection.items())]


def verify_transaction(connection: Connection) -> None:
    """Makes sure that the transaction of a connection is still the one that began.

    Raises:
        ProgrammingError: if it is not.
    """
    if (transaction := _by_connection.get(connection)) is not None:
        transaction.verify()


def refuse_in_reading(connection: Connection) -> None:
    """Makes sure that a connection is not that of a `reading()` block.

    Raises:
        ProgrammingError: if it is, so that what is written would be rolled back.
    """
    transaction = _by_connection.get(connection)
    if transaction is not None and not transaction.writes:
        raise ProgrammingError(_IN_READING)


def watch_errors(engine: Engine) -> None:
    """Looks after each error whether it has ended the transaction."""
    event.listen(engine, "handle_error", _look)


def _look(context: ExceptionContext) -> None:
    connection = context.connection
    if connection is not None and connection in _by_connection:
        _by_connection[connection].look()


def watch_statements(target: Engine | Connection) -> None:
    """Verifies the transaction before each statement that SQLAlchemy executes."""
    event.listen(target, "before_cursor_execute", _verify_statement)


@contextmanager
def watching_statements(connection: Connection) -> Iterator[None]:
    """As `watch_statements()`, for the time of the block."""
    if event.contains(connection, "before_cursor_execute", _verify_statement):
        yield
        return
    watch_statements(connection)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", _verify_statement)


def _verify_statement(
    connection: Connection, _cursor: Any, statement: str, *_: Any
) -> None:
    if (transaction := _by_connection.get(connection)) is not None:
        transaction.verify(statement)
