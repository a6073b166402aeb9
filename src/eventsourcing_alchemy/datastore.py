"""A database: connections, and transactions that recorders join."""

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from os import register_at_fork
from threading import get_ident
from typing import Any
from weakref import finalize

from eventsourcing.persistence import InterfaceError, ProgrammingError
from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from eventsourcing_alchemy import engines
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.hints import hints
from eventsourcing_alchemy.settings import Settings

Bind = Connection | Session | scoped_session[Session]


@dataclass
class Unit:
    """A connection that the recorders of one database join, in one thread."""

    connection: Connection
    writes: bool = True
    thread: int = field(default_factory=get_ident)
    hints: set[Hashable] = field(default_factory=set)
    failed: bool = False
    ended: bool = False

    def is_joinable(self) -> bool:
        """Whether the calling code is inside it.

        A context is copied to tasks and threads that outlive the block, or that
        would use the connection while its own thread does.
        """
        return not self.ended and self.thread == get_ident()


_units: ContextVar[Mapping[int, Unit]] = ContextVar(
    "units",
    default={},  # noqa: B039 (replaced, never changed)
)
"""By engine, what the current context is inside of."""

register_at_fork(after_in_child=lambda: _units.set({}))


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
        self.options: Mapping[str, Any] = {}
        """Execution options of our statements."""
        if settings.schema is not None:
            self.options = {"schema_translate_map": {None: settings.schema}}
        self._reader = self.engine.execution_options(**self.dialect.reading_options)

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
                with self._nested_in(unit):
                    yield unit.connection
            else:
                self._refuse_second_connection(unit)
                with self._outermost() as connection:
                    yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for queries; what is written through it is rolled back.

        Inside of `transaction()`, its connection, which sees what it has written.
        The recorders of this database read through it, too.

        Yields:
            The connection.

        Raises:
            OperationalError: if the database cannot be reached.
            InterfaceError: if the datastore is closed.
        """
        unit = self._unit()
        with translated():
            if unit is not None:
                yield unit.connection
                return
            with (
                self.engine.connect() as connection,
                self._joinable(connection, writes=False),
            ):
                yield connection

    @contextmanager
    def statement(self) -> Iterator[Connection]:
        """A connection for one statement, which joins a transaction if there is one.

        Without one, it takes as few round trips as the database allows.
        """
        unit = self._unit()
        with translated():
            if unit is not None:
                yield unit.connection
            else:
                with self._reader.connect() as connection:
                    yield connection

    @contextmanager
    def appending(self) -> Iterator[Connection]:
        """A connection on which the dialect can `append()` atomically."""
        unit = self._unit()
        if self.dialect.append_is_one_statement and (unit is None or not unit.writes):
            with translated(), self._reader.connect() as connection:
                yield connection
        else:
            with self.transaction() as connection:
                yield connection

    def hint(self, topic: Hashable) -> None:
        """Wakes those who wait for the topic, once the transaction has committed."""
        unit = self._unit()
        if unit is not None and unit.writes:
            unit.hints.add(topic)
        else:
            hints.wake(topic)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction that changes the schema, one at a time in the database."""
        with (
            self.transaction() as connection,
            self.dialect.migrating(connection),
        ):
            yield connection

    def _unit(self) -> Unit | None:
        if not self._release.alive:
            msg = "The datastore is closed: construct a new factory or application"
            raise InterfaceError(msg)
        unit = _units.get().get(id(self.engine))
        return unit if unit is not None and unit.is_joinable() else None

    @contextmanager
    def _joinable(self, connection: Connection, *, writes: bool) -> Iterator[Unit]:
        unit = Unit(connection, writes)
        token = _units.set({**_units.get(), id(self.engine): unit})
        try:
            yield unit
        finally:
            unit.ended = True
            _units.reset(token)

    @contextmanager
    def _outermost(self) -> Iterator[Connection]:
        with self.dialect.writing(self.engine) as engine, engine.begin() as connection:
            with self._joinable(connection, writes=True) as unit:
                yield connection
            if unit.failed:
                msg = (
                    "A part of this transaction failed, and its exception was caught: "
                    "everything is rolled back. Use connection.begin_nested() around "
                    "a part that may fail alone"
                )
                raise ProgrammingError(msg)
        _wake(unit)

    @contextmanager
    def _nested_in(self, unit: Unit) -> Iterator[None]:
        try:
            yield
        except BaseException:
            # A savepoint of the caller's around this block contains the failure.
            unit.failed = unit.failed or not unit.connection.in_nested_transaction()
            raise

    @contextmanager
    def _in_transaction_of(self, bind: Bind) -> Iterator[Connection]:
        connection = _connection_of(bind)
        self.dialect.begin_joined(connection)
        with bind.begin_nested(), self._joinable(connection, writes=True) as unit:
            yield connection
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


def _connection_of(bind: object) -> Connection:
    if isinstance(bind, Connection):
        return bind
    if isinstance(bind, Session | scoped_session):
        return bind.connection()
    msg = (
        f"bind is a {type(bind).__name__!r}: expected an open sqlalchemy.Connection, "
        "or a sqlalchemy.orm.Session"
    )
    raise ProgrammingError(msg)
