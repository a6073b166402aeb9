"""Connections: how they are made, prepared, watched, and left to a forked process."""

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    URL,
    Connection,
    Engine,
)

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.resilience.connecting import close, connect

Options = Mapping[str, Any]


class Connections:
    """How the connections of a database are made and kept."""

    reading_options: ClassVar[Options] = {}
    """Execution options of connections for single statements that read."""

    drivers: ClassVar[Sequence[str]] = ()
    """SQLAlchemy's names of the drivers that are tested; none for any."""

    def refuse_url(self, url: URL, schema: str | None) -> None:  # noqa: ARG002
        """Makes sure that a URL can be used, and its driver is one that is tested.

        Args:
            url: of the database.
            schema: that the tables are in, None for the default one.

        Raises:
            ConfigurationError: if it cannot, or it is another driver.
        """
        if self.drivers and url.get_dialect().driver not in self.drivers:
            backend = url.get_backend_name()
            tested = ", ".join(f"{backend}+{name}" for name in self.drivers)
            msg = (
                f"SQLALCHEMY_URL: {url.drivername!r} is not supported: expected one of "
                f"{tested}"
            )
            raise ConfigurationError(msg)

    def is_private(self, url: URL) -> bool:  # noqa: ARG002
        """Whether the database lives and dies with one connection."""
        return False

    def missing_file(self, url: URL) -> Path | None:  # noqa: ARG002
        """The file that a connection would create, empty, instead of finding it."""
        return None

    def absolute(self, url: URL) -> URL:
        """The URL, independent of the process's current directory."""
        return url

    def identity(self, url: URL) -> Hashable:
        """What two URLs have in common that connect in the same way."""
        arguments = url.get_dialect()().create_connect_args(url)
        # Hashed, because the password is among them.
        return url.get_backend_name(), hash(repr(arguments))

    def place(self, connection: Connection) -> Hashable:
        """Which database a connection leads to, the same for each way to it."""
        return self.identity(connection.engine.url)

    def is_elsewhere(self, ours: URL, theirs: URL, schema: str | None) -> bool:  # noqa: ARG002
        """Whether two URLs lead to different databases, for certain.

        Args:
            ours: of the tables.
            theirs: of an engine of the user's.
            schema: that the tables are in, None for the default one.
        """
        # Hosts have several names: only of the same one, databases can be compared.
        hosts = {(each.host, each.query.get("host")) for each in (ours, theirs)}
        databases = {each.database for each in (ours, theirs)}
        return len(hosts) == 1 and len(databases) == 2 and None not in databases

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Prepares an engine of ours: event listeners, settings of sessions."""

    def prepare_to_write(self, engine: Engine, lock_timeout: float) -> None:
        """Has the connections of an engine of ours change how the database commits.

        Args:
            engine: of ours, not only for reading.
            lock_timeout: seconds to wait for a lock.
        """

    def watch(self, engine: Engine) -> None:
        """Listens to what happens on an engine, also one of the user's."""

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """Keyword arguments for `create_engine()`.

        Args:
            url: the database.
            lock_timeout: seconds to wait for a lock.
        """
        return {}

    def descriptor(self, connection: Any) -> int | None:  # noqa: ARG002
        """The file descriptor of the socket of a driver's connection, if it has one."""
        return None

    def cursor(self, driver_connection: Any) -> Any:
        """A cursor for our own statements."""
        return driver_connection.cursor()

    def execute_many(self, cursor: Any, text: str, rows: Sequence[Any]) -> None:
        """Executes an INSERT of our own for each of several rows.

        Args:
            cursor: as `cursor()` makes it.
            text: ends with VALUES, and a placeholder for each value of a row.
            rows: as the driver takes them.
        """
        cursor.executemany(text, rows)

    def take_writer(self, engine: Engine) -> Connection:
        """A connection for `alone()`, to be given back."""
        return connect(engine)

    def give_writer_back(self, connection: Connection) -> None:
        """Ends the use of a connection."""
        close(connection)

    def close(self) -> None:
        """Closes the connections that it has beside the pool."""

    def before_fork(self, engine: Engine) -> None:
        """Does what has to be done in a process that is about to fork."""

    def after_fork(self, engine: Engine) -> None:
        """Ends that, in the parent process."""

    def abandon(self) -> None:
        """Forgets, in a forked child, what the threads of the parent hold."""
