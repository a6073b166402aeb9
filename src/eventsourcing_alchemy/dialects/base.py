"""What works on every database that SQLAlchemy speaks."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, ClassVar, NamedTuple, Protocol

from eventsourcing.persistence import ProgrammingError, StoredEvent
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Executable,
    Table,
    exc,
)

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.connecting import close, connect
from eventsourcing_alchemy.executors import Executor
from eventsourcing_alchemy.faults import Fault
from eventsourcing_alchemy.outages import Outage

Options = Mapping[str, Any]

_EVENT = (
    "application_id_",
    "notification_id_",
    "originator_id_",
    "originator_version_",
    "topic_",
    "state_",
)
"""Parameters of `statements.insert_event()`."""


class Listening(Protocol):
    """A connection of this process that turns notifications into hints.

    Attributes:
        hears: whether notifications arrive; while they do not, there are no hints.
        failure: why it cannot listen yet; None if it could from the beginning.
    """

    hears: bool
    failure: str | None

    def close(self) -> None:
        """Ends it; returns when its thread and connection are gone."""

    def abandon(self) -> None:
        """Leaves everything to the parent process, after a fork."""


class Application(NamedTuple):
    """What tells an application from all others of a database."""

    name: str
    schema: str | None
    """Database schema of the tables, None for the default."""


class Taken(NamedTuple):
    """Positions that were taken.

    Attributes:
        application_id: whose they are.
        last: of them.
        time: to record the events at, in the database's own form; None for the default
            of the column.
    """

    application_id: int
    last: int
    time: str | None = None


class BaseDialect:
    """The steps in which databases differ, as any database can do them.

    A subclass overrides those that its database does better.
    """

    writes_alone: bool = False
    """Whether `append()`, and a single statement, are atomic within `alone()`."""

    collects_upserts: ClassVar[bool] = False
    """Whether the driver executes an upsert many times faster than one by one."""

    reading_options: ClassVar[Options] = {}
    """Execution options of connections for single statements that read."""

    def is_private(self, url: URL) -> bool:  # noqa: ARG002
        """Whether the database lives and dies with one connection."""
        return False

    def absolute(self, url: URL) -> URL:
        """The URL, independent of the process's current directory."""
        return url

    def identity(self, url: URL) -> Hashable:
        """What two URLs have in common that connect in the same way."""
        arguments = url.get_dialect()().create_connect_args(url)
        # Hashed, because the password is among them.
        return url.get_backend_name(), hash(repr(arguments))

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Prepares an engine of ours: event listeners, settings of sessions."""

    def watch(self, engine: Engine) -> None:
        """Listens to what happens on an engine, also one of the user's."""

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """Keyword arguments for `create_engine()`.

        Args:
            url: the database.
            lock_timeout: seconds to wait for a lock.
        """
        return {}

    def fault(self, error: BaseException) -> Fault:  # noqa: ARG002
        """What an error of the driver means.

        Beside what is told here, SQLAlchemy knows that some mean a lost connection.
        """
        return Fault.LASTING

    def descriptor(self, connection: Any) -> int | None:  # noqa: ARG002
        """The file descriptor of the socket of a driver's connection, if it has one."""
        return None

    def close(self) -> None:
        """Closes the connections that it has beside the pool."""

    def before_fork(self, engine: Engine) -> None:
        """Does what has to be done in a process that is about to fork."""

    def after_fork(self, engine: Engine) -> None:
        """Ends that, in the parent process."""

    def abandon(self) -> None:
        """Forgets, in a forked child, what the threads of the parent hold."""

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
                "The connection is in AUTOCOMMIT mode, in which there are no "
                "transactions: use one with another isolation_level"
            )
            raise ProgrammingError(msg)

    def commits_each_statement(self, connection: Connection) -> bool:
        """Whether the driver is in autocommit mode."""
        return getattr(connection.connection.dbapi_connection, "autocommit", 0) is True

    def is_aborted(self, connection: Connection) -> bool:  # noqa: ARG002
        """Whether the database would roll back what it is told to commit."""
        return False

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:  # noqa: ARG002
        """Holds off others who would migrate the same database."""
        yield

    def cursor(self, driver_connection: Any) -> Any:
        """A cursor for our own statements."""
        return driver_connection.cursor()

    def committing_each(
        self,
        driver_connection: Any,  # noqa: ARG002
    ) -> AbstractContextManager[None]:
        """Makes each statement in the block a transaction, if that saves anything."""
        return nullcontext()

    def take_writer(self, engine: Engine) -> Connection:
        """A connection for `alone()`, to be given back."""
        return connect(engine)

    def give_writer_back(self, connection: Connection) -> None:
        """Ends the use of a connection."""
        close(connection)

    def alone(self, executor: Executor) -> AbstractContextManager[None]:  # noqa: ARG002
        """A transaction of the dialect's own, within `writing()`."""
        return nullcontext()

    def append(
        self,
        executor: Executor,
        table: Table,
        application: Application,
        events: Sequence[StoredEvent],
        *,
        notify: bool,  # noqa: ARG002
    ) -> int:
        """Stores events under the next positions of an application.

        The row of the application in `es_applications` stays locked until the end
        of the transaction: positions become visible in their order, and a rollback
        gives them back.

        Args:
            executor: is in a transaction, or in `alone()`.
            table: of the events.
            application: whose events they are.
            events: one or more.
            notify: whether to announce the events to other processes.

        Returns:
            The position of the last event; the others precede it without a gap.
        """
        taken = self.take_positions(executor, application, len(events))
        first = taken.last - len(events) + 1
        rows = [
            (
                taken.application_id,
                position,
                event.originator_id,
                event.originator_version,
                event.topic,
                event.state,
            )
            for position, event in enumerate(events, first)
        ]
        if taken.time is None:
            executor.execute_many(statements.insert_event(table), _EVENT, rows)
        else:
            timed = [(*row, taken.time) for row in rows]
            names = (*_EVENT, "recorded_at_")
            executor.execute_many(statements.insert_event_at(table), names, timed)
        return taken.last

    def take_positions(
        self, executor: Executor, application: Application, count: int
    ) -> Taken:
        """Takes the next `count` positions of an application."""
        advance = (
            self._advance_returning
            if executor.connection.dialect.update_returning
            else self._advance_and_select
        )
        parameters = {"application": application.name, "count": count}
        taken = advance(executor, parameters)
        if taken is None:
            self.register(executor, application.name)
            taken = advance(executor, parameters)
        if taken is None:
            msg = (
                f"The row of application {application.name!r} is gone from "
                f"es_applications"
            )
            raise ProgrammingError(msg)
        return Taken(*taken)

    def advance_returning(self) -> Any:
        """The statement that takes positions, on databases that know RETURNING."""
        return statements.advance_position_returning()

    def _advance_returning(
        self, executor: Executor, parameters: Mapping[str, Any]
    ) -> Sequence[Any] | None:
        return executor.first(self.advance_returning(), parameters)

    def _advance_and_select(
        self, executor: Executor, parameters: Mapping[str, Any]
    ) -> Sequence[Any] | None:
        if not executor.execute(statements.advance_position(), parameters).rowcount:
            return None
        return executor.first(statements.application(), parameters)

    def register(self, executor: Executor, name: str) -> None:
        """Adds the row of an application, unless another process just did."""
        row = {"name_": name}
        try:
            with executor.connection.begin_nested():
                executor.execute(statements.insert_application(), row)
        except exc.IntegrityError:
            return

    def upsert_statement(
        self,
        table: Table,  # noqa: ARG002
        values: Mapping[str, Any],  # noqa: ARG002
        set_: Mapping[str, Any],  # noqa: ARG002
        index_elements: Sequence[str],  # noqa: ARG002
    ) -> Executable | None:
        """Inserts a row, or updates the one that is there, atomically.

        Args:
            table: to write to.
            values: of the row, if it is new.
            set_: of the row, if it is there.
            index_elements: names of the columns that tell whether it is there.

        Returns:
            None where it takes two statements.
        """
        return None

    def tracked_upsert_statement(
        self,
        table: Table,  # noqa: ARG002
        values: Mapping[str, Any],  # noqa: ARG002
        set_: Mapping[str, Any],  # noqa: ARG002
        index_elements: Sequence[str],  # noqa: ARG002
    ) -> Executable | None:
        """An upsert, if `statements.advance_tracking()` finds its row, atomically.

        Args:
            table: as in `upsert_statement()`.
            values: as there.
            set_: as there; reads and writes this table only.
            index_elements: as there.

        Returns:
            None where that takes two statements. It returns a row if it did both.
        """
        return None

    def listen(
        self,
        engine: Engine,  # noqa: ARG002
        writer: Engine,  # noqa: ARG002
        wake: Callable[[str], None],  # noqa: ARG002
        outage: Outage,  # noqa: ARG002
        can_wait: Callable[[BaseException], bool],  # noqa: ARG002
    ) -> Listening | None:
        """Listens for the announcements of other processes.

        Args:
            engine: of the database to listen to.
            writer: by which applications announce their events.
            wake: called with the name of an application that has new events.
            outage: is told when the connection is lost, and when it is back.
            can_wait: tells of an error whether to listen later, when it has healed.

        Returns:
            None where the database, or its driver, announces nothing.
        """
        return None
