"""A database: connections, and transactions that recorders join."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar
from weakref import finalize

from sqlalchemy import Connection

from eventsourcing_alchemy.database import engines
from eventsourcing_alchemy.database.binds import Bind
from eventsourcing_alchemy.database.blocks import Blocks
from eventsourcing_alchemy.database.checkout import ConnectionCheckout
from eventsourcing_alchemy.database.group_commit import GroupCommit
from eventsourcing_alchemy.database.joining import (
    current_transaction,
    joinable,
    transaction_to_read_in,
    verify_transaction,
)
from eventsourcing_alchemy.database.retrying import retry
from eventsourcing_alchemy.database.transactions import OpenTransaction
from eventsourcing_alchemy.database.wakeups import hints
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.host import InterfaceError, ProgrammingError
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.statements.executor import Executor

T = TypeVar("T")


class SQLAlchemyDatastore:
    """The database of the recorders of one application or projection.

    It connects when the first recorder needs it.

    Args:
        settings: how to reach the database.

    Raises:
        ConfigurationError: if the settings cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._shared, key = engines.acquire(settings)
        # Not only in close(): the host's projection runner never closes the factory
        # of its view.
        self._release = finalize(self, engines.release, key)
        self.database = self._shared.database
        """Equal for datastores of the same database."""
        self.engine = self._shared.engine
        self.dialect = self._shared.dialect
        self.outage = self._shared.outage
        self._checkout = ConnectionCheckout(self._shared, settings)
        self._blocks = Blocks(self._shared, self._checkout)
        self.schemas = self._checkout.schemas
        self.schema = self.schemas.get(None)
        """That our tables are in, None for the default one."""
        self.options = self._checkout.options
        """Execution options of our statements."""
        self.schema_of = self._checkout.schema_of
        self.answering = self._checkout.answering
        self.wait_for_commit = self._checkout.wait_for_commit

    def close(self) -> None:
        """Ends the use of the database. You may call it again.

        The last user of the engine in this process closes the connections.
        """
        self._release()

    def transaction(
        self, bind: Bind | None = None, *, commit: bool = True
    ) -> AbstractContextManager[Connection]:
        """Opens a transaction that all recorders of this database join.

        Whatever these recorders do inside the block, in the same thread, belongs to the
        transaction. If you nest blocks, the outermost one commits. An exception that
        leaves any of them rolls back everything, even if you catch it. (Put
        `connection.begin_nested()` around a part that may fail alone.)

        The block ends the transaction. The package refuses statements that would end it
        earlier (COMMIT; on MySQL and MariaDB also TRUNCATE and DDL). If one gets
        through, the next statement raises an error.

        Args:
            bind: your connection or session, of the same database. The block is then a
                savepoint in your transaction: an exception undoes the block, and you
                commit or roll back.
            commit: False for `reading()`, as in the library's own datastores.

        Yields:
            The connection, for statements of your own.

        Raises:
            IntegrityError: if a statement violates a constraint.
            OperationalError: if the database cannot be reached, or another transaction
                does not release a lock in time.
            InterfaceError: if the datastore is closed.
            ProgrammingError: if `bind` uses another database; if a part failed and you
                caught its exception; if something else ended the transaction; inside
                `reading()`; if the block and the code in it run in different threads,
                tasks or contexts.
        """
        if not commit:
            return self._reading_in(bind)
        self._refuse_unusable()
        return self._blocks.joined() if bind is None else self._blocks.taking_part(bind)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Yields a connection for queries. Do not write through it.

        What you write through it is rolled back; inside a transaction or a batch of a
        runner, it becomes part of that. Inside `transaction()`, queries see what the
        transaction has written. Queries in one block may all see the database as it was
        at its beginning (on SQLite they do). Recorders that you use inside read through
        the same connection, and cannot write.

        Yields:
            The connection.

        Raises:
            OperationalError: if the database cannot be reached.
            InterfaceError: if the datastore is closed.
        """
        self._refuse_unusable()
        transaction = transaction_to_read_in(self.engine)
        with (
            translated(),
            self._blocks.connected(transaction, self.engine) as connection,
        ):
            if transaction is not None:
                transaction.refuse_in_midst()
                yield connection
                return
            with joinable(self.engine, OpenTransaction(connection, writes=False)):
                yield connection

    def _reading_in(self, bind: Bind | None) -> AbstractContextManager[Connection]:
        if bind is not None:
            msg = (
                "transaction() got both bind and commit=False: leave out commit, "
                "because whoever opened bind commits it"
            )
            raise ProgrammingError(msg)
        return self.reading()

    def retrying(
        self,
        attempt: Callable[[], T],
        settle: Callable[[], T | None] | None = None,
        *,
        timeout: float | None = None,
    ) -> T:
        """Tries again what fails for the moment: see `retry()`.

        Whatever reads or writes by itself goes through here. Inside `transaction()` and
        `reading()` it is tried once only, because it would be but a part.

        Args:
            attempt: as in `retry()`.
            settle: as there.
            timeout: seconds, by default and at the most `retry_timeout`.
        """
        if (transaction := current_transaction(self.engine)) is not None:
            transaction.refuse_in_midst()
            return attempt()
        longest = self.settings.retry_timeout
        timeout = longest if timeout is None else min(timeout, longest)
        was_away = self.outage.is_on  # Else this may have been under way before.
        result = retry(attempt, self.dialect, timeout, settle)
        if was_away:
            self.outage.end()
        return result

    def is_inside_block(self) -> bool:
        """Whether the calling code is inside `transaction()` or `reading()`."""
        return current_transaction(self.engine) is not None

    def is_in_transaction(self) -> bool:
        """Whether the calling code is inside `transaction()`."""
        found = current_transaction(self.engine)
        return found is not None and found.writes

    def executing(
        self,
        connection: Connection,
        interruption: Interruption | None = None,
        *,
        takes_locks: bool = False,
    ) -> AbstractContextManager[Executor]:
        """Executes statements in the transaction of a connection.

        Args:
            connection: of this engine.
            interruption: ends the wait for an answer.
            takes_locks: whether the database may be waiting for locks.

        Raises:
            ProgrammingError: if it is no more the transaction that began.
        """
        verify_transaction(connection)
        return self._checkout.executing(
            connection, interruption, takes_locks=takes_locks
        )

    @contextmanager
    def statement(self, interruption: Interruption | None = None) -> Iterator[Executor]:
        """Executes a single statement, which joins a transaction if there is one.

        Without one, it takes as few round trips as the database allows. With an
        interruption, it joins nothing: who waits for what is recorded meanwhile may see
        nothing of it in `reading()`, and in `transaction()` what will be rolled back.

        Args:
            interruption: ends the wait for a connection, or for an answer.
        """
        self._refuse_unusable()
        transaction = transaction_to_read_in(self.engine)
        if transaction is not None and interruption is not None:
            transaction = self._blocks.unavoidable(transaction)
        if transaction is None:
            with self._checkout.borrowed(interruption) as executor:
                yield executor
            return
        connection = transaction.connection
        with translated(), self.executing(connection, interruption) as executor:
            yield executor

    def recording(self) -> AbstractContextManager[Connection]:
        """A `transaction()` in which nothing but our own statements is executed."""
        self._refuse_unusable()
        return self._blocks.joined(is_ours=True)

    @contextmanager
    def writing(self) -> Iterator[Executor]:
        """Executes statements that write, in a `transaction()` of ours."""
        with (
            self.recording() as connection,
            self.executing(connection, takes_locks=True) as executor,
        ):
            yield executor

    def alone(self, work: Callable[[Executor], T]) -> T:
        """Calls a function in `writing()`, in as few round trips as the dialect can.

        Args:
            work: to be called once, and to return something.
        """
        if not self.dialect.writes_alone or self.is_in_transaction():
            with self.writing() as executor:
                return work(executor)
        self._refuse_unusable()
        self._blocks.refuse_to_begin()
        return self._checkout.alone(work)

    def group_commit(self, key: Hashable) -> GroupCommit[Any] | None:
        """Where to append with other threads, None if that is not possible here.

        Args:
            key: what they append to.
        """
        if self._shared.is_private or self.is_in_transaction():
            return None
        self._blocks.refuse_to_begin()
        return self._shared.group_commit(key)

    def migrating(self) -> AbstractContextManager[Connection]:
        """A transaction that changes the schema, one at a time in the database.

        Raises:
            ProgrammingError: inside another one, which some databases would commit.
        """
        if self.is_in_transaction():
            msg = (
                "Tables are missing, and cannot be created inside a transaction: "
                "construct recorders before you open one"
            )
            raise ProgrammingError(msg)
        self._refuse_unusable()
        return self._blocks.migrating()

    def hint(self, topic: Hashable) -> None:
        """Wakes those who wait for the topic, once the transaction has committed."""
        self.after_commit(partial(hints.wake, topic))

    def after_commit(self, call: Callable[[], None]) -> None:
        """Calls a function once the transaction has committed; now without one."""
        transaction = current_transaction(self.engine)
        if transaction is not None and transaction.writes:
            transaction.after_commit.append(call)
        else:
            call()

    def _refuse_unusable(self) -> None:
        if not self._release.alive:
            msg = "The datastore is closed: construct a new factory or application"
            raise InterfaceError(msg)
        self._shared.refuse_unnoticed_fork()
