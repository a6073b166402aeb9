"""What works on every database that SQLAlchemy speaks."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from eventsourcing.persistence import ProgrammingError, StoredEvent
from sqlalchemy import (
    URL,
    Connection,
    CursorResult,
    Engine,
    Table,
    exc,
    insert,
)

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.faults import Fault
from eventsourcing_alchemy.outages import Outage
from eventsourcing_alchemy.tables import applications

if TYPE_CHECKING:
    from eventsourcing_alchemy.upserts import Upsert

Options = Mapping[str, Any]


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


class BaseDialect:
    """The steps in which databases differ, as any database can do them.

    A subclass overrides those that its database does better. Statements name no
    schema: `options`, the execution options of each, translate it.
    """

    append_is_one_statement: ClassVar[bool] = False
    """Whether `append()` needs no transaction around it."""

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

    def append(
        self,
        connection: Connection,
        table: Table,
        name: str,
        events: Sequence[StoredEvent],
        options: Options,
        *,
        notify: bool,  # noqa: ARG002
    ) -> int:
        """Stores events under the next positions of an application.

        The row of the application in `es_applications` stays locked until the end
        of the transaction: positions become visible in their order, and a rollback
        gives them back.

        Args:
            connection: is in a transaction, unless `append_is_one_statement`.
            table: of the events.
            name: of the application.
            events: one or more.
            options: execution options.
            notify: whether to announce the events to other processes.

        Returns:
            The position of the last event; the others precede it without a gap.
        """
        application_id, last = self.take_positions(
            connection, name, len(events), options
        )
        first = last - len(events) + 1
        rows = [
            {
                "application_id": application_id,
                "notification_id": position,
                "originator_id": event.originator_id,
                "originator_version": event.originator_version,
                "topic": event.topic,
                "state": event.state,
            }
            for position, event in enumerate(events, first)
        ]
        connection.execute(insert(table), rows, execution_options=options)
        return last

    def take_positions(
        self, connection: Connection, name: str, count: int, options: Options
    ) -> tuple[int, int]:
        """Takes the next `count` positions of an application.

        Returns:
            The application's ID and the last of its positions.
        """
        advance = (
            self._advance_returning
            if connection.dialect.update_returning
            else self._advance_and_select
        )
        parameters = {"application": name, "count": count}
        taken = advance(connection, parameters, options)
        if taken is None:
            self.register(connection, name, options)
            taken = advance(connection, parameters, options)
        if taken is None:
            msg = f"The row of application {name!r} is gone from es_applications"
            raise ProgrammingError(msg)
        return taken

    def _advance_returning(
        self, connection: Connection, parameters: Mapping[str, Any], options: Options
    ) -> tuple[int, int] | None:
        statement = statements.advance_position().returning(
            applications.c.id, applications.c.last_notification_id
        )
        row = connection.execute(
            statement, parameters, execution_options=options
        ).one_or_none()
        return None if row is None else (row.id, row.last_notification_id)

    def _advance_and_select(
        self, connection: Connection, parameters: Mapping[str, Any], options: Options
    ) -> tuple[int, int] | None:
        result = connection.execute(
            statements.advance_position(), parameters, execution_options=options
        )
        if not result.rowcount:
            return None
        row = connection.execute(
            statements.application(), parameters, execution_options=options
        ).one()
        return row.id, row.last_notification_id

    def application_id(
        self, connection: Connection, name: str, options: Options
    ) -> int | None:
        """The ID of an application, None if it has no row yet."""
        statement, parameters = statements.application(), {"application": name}
        row = connection.execute(
            statement, parameters, execution_options=options
        ).one_or_none()
        return None if row is None else int(row.id)

    def register(self, connection: Connection, name: str, options: Options) -> None:
        """Adds the row of an application, unless another process just did."""
        row = {"name": name, "last_notification_id": 0}
        try:
            with connection.begin_nested():
                connection.execute(insert(applications), row, execution_options=options)
        except exc.IntegrityError:
            return

    def upsert(
        self,
        upsert: "Upsert",
        execute: Callable[..., CursorResult[Any]],
    ) -> CursorResult[Any]:
        """Updates the row that has the key of the given one, else inserts it.

        Args:
            upsert: what to write.
            execute: executes a statement.
        """
        result = execute(upsert.as_update())
        return result if result.rowcount else execute(upsert.as_insert())

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


def schema_of(options: Options) -> str | None:
    """The database schema that execution options name.

    Not the options themselves, to which SQLAlchemy adds what it needs.
    """
    schema: str | None = options.get("schema_translate_map", {}).get(None)
    return schema
