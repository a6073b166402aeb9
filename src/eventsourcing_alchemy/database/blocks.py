"""The blocks in which transactions begin and end."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from sqlalchemy import Connection, Engine

from eventsourcing_alchemy.database import (
    session_savepoints,  # noqa: F401 (listens to sessions)
)
from eventsourcing_alchemy.database.binds import (
    Bind,
    connection_of,
    flush,
    savepoint_of,
    session_of,
)
from eventsourcing_alchemy.database.checkout import ConnectionCheckout
from eventsourcing_alchemy.database.engines import SharedEngine
from eventsourcing_alchemy.database.joining import (
    current_transaction,
    joinable,
    refuse_around,
    refuse_in_reading,
    watching_statements,
)
from eventsourcing_alchemy.database.sole_writer import refuse_other_writer
from eventsourcing_alchemy.database.transactions import OpenTransaction
from eventsourcing_alchemy.dialects.base.marks import Mark, SavepointMark
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.resilience.connecting import close, connect
from eventsourcing_alchemy.upserts.buffered_connection import last_upserts


class Blocks:
    """Opens transactions on an engine, or joins them.

    Args:
        shared: the engine.
        checkout: lends its connections.
    """

    def __init__(self, shared: SharedEngine, checkout: ConnectionCheckout) -> None:
        self._shared = shared
        self._engine = shared.engine
        self._dialect = shared.dialect
        self._checkout = checkout

    def joined(self, *, is_ours: bool = False) -> AbstractContextManager[Connection]:
        """The current transaction, or else a new one.

        Args:
            is_ours: whether nothing but our own statements is executed in a new one: of
                them, no error is caught, and none ends it.
        """
        transaction = current_transaction(self._engine)
        if transaction is not None and transaction.writes:
            if not is_ours:
                transaction.refuse_in_midst()
            return self._nested(transaction)
        self._refuse_to_begin_in(transaction)
        return self._outermost(is_ours=is_ours)

    @contextmanager
    def _nested(self, transaction: OpenTransaction) -> Iterator[Connection]:
        with translated():
            transaction.verify()
            with transaction.nested():
                yield transaction.connection

    @contextmanager
    def _outermost(self, *, is_ours: bool) -> Iterator[Connection]:
        with (
            translated(),
            self._dialect.writing(self._shared.writer) as engine,
            _Borrowed(engine, self._checkout) as borrowed,
            borrowed.connection.begin(),
        ):
            connection = borrowed.connection
            try:
                self._dialect.ensure_begun(connection)
                transaction = (
                    self._own(connection) if is_ours else self._marked(connection)
                )
                with joinable(self._engine, transaction):
                    yield connection
                    self._checkout.flush_if_seen(connection)
            finally:
                waiting = last_upserts(connection)
                borrowed.watch()  # COMMIT or ROLLBACK follows.
            transaction.check(self._dialect)
            if waiting is not None:
                self._checkout.commit_with(connection, waiting)
        _tell(transaction)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A new transaction that changes the schema, one at a time in the database."""
        with (
            self.joined(is_ours=True) as connection,
            self._dialect.migrating(connection),
        ):
            yield connection

    @contextmanager
    def taking_part(self, bind: Bind) -> Iterator[Connection]:
        """A savepoint in the transaction of the caller's."""
        with translated():
            connection = self.connection_of(bind)
            refuse_other_writer(self._engine)
            refuse_in_reading(connection)
            self._dialect.ensure_begun(connection)
        with translated(), savepoint_of(bind):
            # Again, because a session begins its savepoint now.
            connection = self.connection_of(bind)
            # Without a mark, the release of the savepoint tells.
            transaction = self._guarded(connection, self._dialect.mark(connection))
            transaction.session = session_of(bind)
            with watching_statements(connection), joinable(self._engine, transaction):
                yield connection
                flush(bind)
            transaction.check(self._dialect)
        # Too early, because the caller has not committed yet: so those who wait look
        # again soon. There is no event after a commit.
        _tell(transaction)

    def connection_of(self, bind: Bind) -> Connection:
        """The connection of the caller's, which must be of this database."""
        return connection_of(bind, self._is_elsewhere)

    def _is_elsewhere(self, engine: Engine) -> bool:
        return self._shared.differs_from(engine, self._checkout.schemas.get(None))

    @contextmanager
    def connected(
        self, transaction: OpenTransaction | None, engine: Engine
    ) -> Iterator[Connection]:
        """The connection of a transaction, or else one of the engine."""
        if transaction is not None:
            yield transaction.connection
        else:
            with _Borrowed(engine, self._checkout) as borrowed:
                yield borrowed.connection

    def unavoidable(self, transaction: OpenTransaction) -> OpenTransaction | None:
        """What has the only connection; None if there are others.

        Raises:
            ProgrammingError: if it may be rolled back after somebody has read it.
        """
        if not self._shared.is_private:
            return None
        if transaction.writes:
            msg = (
                "Cannot iterate over a subscription inside a transaction() block of an "
                "in-memory database, which has one connection: leave the block before"
            )
            raise ProgrammingError(msg)
        return transaction

    def refuse_to_begin(self) -> None:
        """Makes sure that a transaction may begin here.

        Raises:
            ProgrammingError: if the calling code is within `reading()`, has the context
                of another one's transaction, or may write by another engine only.
        """
        self._refuse_to_begin_in(current_transaction(self._engine))

    def _refuse_to_begin_in(self, transaction: OpenTransaction | None) -> None:
        refuse_other_writer(self._engine)
        if transaction is not None:
            refuse_in_reading(transaction.connection)
        refuse_around(self._engine)

    def _own(self, connection: Connection) -> OpenTransaction:
        return OpenTransaction(connection, writes=True, is_ours=True)

    def _marked(self, connection: Connection) -> OpenTransaction:
        mark = self._dialect.mark(connection) or SavepointMark(connection)
        return self._guarded(connection, mark)

    def _guarded(self, connection: Connection, mark: Mark | None) -> OpenTransaction:
        refusal = self._dialect.refusal
        return OpenTransaction(connection, writes=True, mark=mark, refusal=refusal)


class _Borrowed:
    """A connection, which is closed at the end of the block.

    Attributes:
        connection: SQLAlchemy's.

    Args:
        engine: lends it.
        checkout: watches over it.
    """

    def __init__(self, engine: Engine, checkout: ConnectionCheckout) -> None:
        self.connection = connect(engine)
        self._checkout = checkout
        self._watching: AbstractContextManager[None] | None = None

    def __enter__(self) -> Self:
        return self

    def watch(self) -> None:
        """From now on, the server has to answer in time."""
        self._watching = self._checkout.answering_if_open(self.connection)
        self._watching.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._watching is None:
            self.watch()  # Some drivers ask the server to roll back.
        try:
            close(self.connection)
        finally:
            if self._watching is not None:
                self._watching.__exit__(None, None, None)


def _tell(transaction: OpenTransaction) -> None:
    for call in transaction.after_commit:
        call()
