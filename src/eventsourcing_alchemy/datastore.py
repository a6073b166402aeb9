"""A database: connections, and transactions that recorders join."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar
from weakref import finalize

from eventsourcing.persistence import InterfaceError, ProgrammingError
from sqlalchemy import Connection, Engine

from eventsourcing_alchemy import engines
from eventsourcing_alchemy.binds import Bind, connection_of
from eventsourcing_alchemy.connecting import close, connect
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.executors import Executor
from eventsourcing_alchemy.group_commits import GroupCommit
from eventsourcing_alchemy.hints import hints
from eventsourcing_alchemy.interruptions import Interruption
from eventsourcing_alchemy.lending import Lender
from eventsourcing_alchemy.retrying import retry
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.units import Unit, current_unit, joinable

T = TypeVar("T")


class SQLAlchemyDatastore:
    """A database, for the recorders of one application or projection.

    Args:
        settings: says how to reach it. Nothing connects before it has to.

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
        self._lender = Lender(self._shared, settings)
        self.schemas = self._lender.schemas
        self.options = self._lender.options
        """Execution options of our statements."""
        self.answering = self._lender.answering
        self.executing = self._lender.executing

    def close(self) -> None:
        """Ends the use of the database; may be called again.

        The connections are closed with the last user of the engine in this process.
        """
        self._release()

    @contextmanager
    def transaction(self, bind: Bind | None = None) -> Iterator[Connection]:
        """A transaction that all recorders of this database join.

        Inside of the block, in the same thread, whatever these recorders do is part
        of it. Where blocks are nested, the outermost one commits, and an exception
        that leaves any of them rolls back everything: it cannot be caught halfway
        to commit the rest. (Use `connection.begin_nested()` around a block that may
        fail alone.)

        Args:
            bind: a connection or session of the caller's, of the same database. The
                block is then a savepoint in the caller's transaction: an exception
                undoes the block, and the caller commits or rolls back.

        Yields:
            The connection, for statements of your own.

        Raises:
            IntegrityError: if a constraint is violated.
            OperationalError: if the database cannot be reached, or a lock is not
                released in time.
            InterfaceError: if the datastore is closed.
        """
        unit = self._unit()
        with translated():
            if bind is not None:
                with self._in_transaction_of(bind) as connection:
                    yield connection
            elif unit is not None and unit.writes:
                with unit.nested():
                    yield unit.connection
            else:
                self._refuse_second_connection(unit)
                with self._outermost() as connection:
                    yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries; what is written through it is rolled back.

        Inside of `transaction()`, its connection, which sees what it has written.
        Queries in one block may all see the database as it was at its beginning
        (on SQLite they do); recorders that are used inside see it as it is.

        Yields:
            The connection.

        Raises:
            OperationalError: if the database cannot be reached.
            InterfaceError: if the datastore is closed.
        """
        unit = self._unit()
        with translated(), self._connected(unit, self.engine) as connection:
            if unit is not None:
                yield connection
                return
            with joinable(self.engine, Unit(connection, writes=False)):
                yield connection

    def retrying(
        self, attempt: Callable[[], T], settle: Callable[[], T | None] | None = None
    ) -> T:
        """Tries again what fails for the moment, for `retry_timeout`: see `retry()`.

        Once only inside of `transaction()`, of which it would be but a part.
        """
        if self.is_in_transaction():
            return attempt()
        result = retry(attempt, self.dialect, self.settings.retry_timeout, settle)
        if self.outage.is_on:
            self.outage.end()
        return result

    def is_in_transaction(self) -> bool:
        """Whether the calling code is inside of `transaction()`."""
        unit = current_unit(self.engine)
        return unit is not None and unit.writes

    @contextmanager
    def statement(self, interruption: Interruption | None = None) -> Iterator[Executor]:
        """Executes a single statement, which joins a transaction if there is one.

        Without one, it takes as few round trips as the database allows. It does not
        join `reading()`, which may see nothing of what is recorded meanwhile.

        Args:
            interruption: ends the wait for a connection, or for an answer.
        """
        unit = self._unit()
        if unit is not None and (unit.writes or self._shared.is_private):
            with (
                translated(),
                self.executing(unit.connection, interruption) as executor,
            ):
                yield executor
        else:
            with self._lender.borrowed(interruption) as executor:
                yield executor

    @contextmanager
    def writing(self) -> Iterator[Executor]:
        """Executes statements that write, in a `transaction()`."""
        with (
            self.transaction() as connection,
            self.executing(connection, takes_locks=True) as executor,
        ):
            yield executor

    def writing_alone(self) -> AbstractContextManager[Executor]:
        """As `writing()`, for what the dialect does in fewer round trips."""
        unit = self._unit()
        if not self.dialect.writes_alone or (unit is not None and unit.writes):
            return self.writing()
        self._refuse_second_connection(unit)
        return self._lender.writing_alone()

    def group_commit(self, key: Hashable) -> GroupCommit | None:
        """Where to append with other threads, None if that is not possible here.

        Args:
            key: what they append to.
        """
        if self._shared.is_private or self.is_in_transaction():
            return None
        return self._shared.group_commit(key)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction that changes the schema, one at a time in the database.

        Raises:
            ProgrammingError: inside of another transaction, which some databases would
                commit.
        """
        unit = self._unit()
        if unit is not None and unit.writes:
            msg = (
                "Tables are missing: construct recorders before you open a transaction"
            )
            raise ProgrammingError(msg)
        with (
            self.transaction() as connection,
            self.dialect.migrating(connection),
        ):
            yield connection

    def hint(self, topic: Hashable) -> None:
        """Wakes those who wait for the topic, once the transaction has committed."""
        unit = current_unit(self.engine)
        if unit is not None and unit.writes:
            unit.hints.add(topic)
        else:
            hints.wake(topic)

    def _unit(self) -> Unit | None:
        if not self._release.alive:
            msg = "The datastore is closed: construct a new factory or application"
            raise InterfaceError(msg)
        return current_unit(self.engine)

    @contextmanager
    def _connected(self, unit: Unit | None, engine: Engine) -> Iterator[Connection]:
        if unit is not None:
            yield unit.connection
        else:
            connection = connect(engine)
            try:
                yield connection
            finally:
                # Some drivers ask the server to roll back.
                with self._lender.answering_if_open(connection):
                    close(connection)

    @contextmanager
    def _outermost(self) -> Iterator[Connection]:
        with (
            self.dialect.writing(self._shared.writer) as engine,
            self._connected(None, engine) as connection,
            ExitStack() as until_ended,
            connection.begin(),
        ):
            try:
                self.dialect.ensure_begun(connection)
                with joinable(self.engine, Unit(connection, writes=True)) as unit:
                    yield connection
                unit.check(self.dialect)
            finally:
                # COMMIT or ROLLBACK follows.
                until_ended.enter_context(self._lender.answering_if_open(connection))
        _wake(unit)

    @contextmanager
    def _in_transaction_of(self, bind: Bind) -> Iterator[Connection]:
        self.dialect.ensure_begun(connection_of(bind))
        with bind.begin_nested():
            # Again, because a session begins its savepoint now.
            connection = connection_of(bind)
            with joinable(self.engine, Unit(connection, writes=True)) as unit:
                yield connection
            unit.check(self.dialect)
        # Too early, because the caller has not committed yet: so those who wait look
        # again soon. There is no event after a commit.
        _wake(unit)

    def _refuse_second_connection(self, unit: Unit | None) -> None:
        if unit is not None and self._shared.is_private:
            msg = (
                "An in-memory database has one connection, which is in use by a "
                "reading() block: leave the block before you write"
            )
            raise ProgrammingError(msg)


def _wake(unit: Unit) -> None:
    for topic in unit.hints:
        hints.wake(topic)
