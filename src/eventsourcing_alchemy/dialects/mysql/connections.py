"""Connections: READ COMMITTED, timeouts, and every character."""

from collections.abc import Hashable
from math import ceil
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    event,
    text,
)

from eventsourcing_alchemy.dialects.base.connections import Connections
from eventsourcing_alchemy.dialects.base.pool_listeners import listen_to_pool
from eventsourcing_alchemy.dialects.mysql.watching_cursor import watch_transactions
from eventsourcing_alchemy.dialects.urls import checked_integer
from eventsourcing_alchemy.errors import ConfigurationError

CONNECT_TIMEOUT = 10
"""Seconds, where the URL does not say."""


# Containers may share all names: their tables were made at different times.
_PLACE = text(
    """
    SELECT @@hostname, @@port, @@datadir, DATABASE(), (
        SELECT min(create_time) FROM information_schema.tables
        WHERE table_schema = DATABASE()
    )
    """
)


_SESSION = (
    "SELECT @@sql_select_limit, "
    "@@character_set_client, @@character_set_connection, @@character_set_results"
)

_UNLIMITED = 2**64 - 1


class MySQLConnections(Connections):
    """READ COMMITTED, timeouts, and every character."""

    drivers = ("pymysql", "mysqldb", "mysqlconnector", "mariadbconnector")

    def refuse_url(self, url: URL, schema: str | None) -> None:
        """Also without a database, and where texts would come as bytes."""
        super().refuse_url(url, schema)
        if not url.database and schema is None:
            msg = (
                "SQLALCHEMY_URL names no database: expected "
                f"'{url.drivername}://host/name', or set SQLALCHEMY_SCHEMA"
            )
            raise ConfigurationError(msg)
        if url.query.get("use_unicode") in {"0", "false", "False"}:
            msg = "SQLALCHEMY_URL: the option use_unicode does not fit: leave it out"
            raise ConfigurationError(msg)

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """READ COMMITTED: polls see new rows, and no gaps are locked."""
        options: dict[str, Any] = {"isolation_level": "READ COMMITTED"}
        driver = url.get_dialect().driver
        if driver in {"pymysql", "mysqldb"}:
            timeout = checked_integer(url, "connect_timeout", CONNECT_TIMEOUT)
            options["connect_args"] = {"connect_timeout": timeout}
            if driver == "pymysql" and "read_timeout" not in url.query:
                options["connect_args"]["read_timeout"] = timeout
        return options

    def place(self, connection: Connection) -> Hashable:
        """The database, and what the server calls itself."""
        return tuple(connection.execute(_PLACE).one())

    def is_elsewhere(self, ours: URL, theirs: URL, schema: str | None) -> bool:
        """As anywhere, unless a schema, which is a database, says where to look."""
        return schema is None and super().is_elsewhere(ours, theirs, schema)

    def descriptor(self, connection: Any) -> int | None:
        """Of PyMySQL's socket."""
        socket = getattr(connection, "_sock", None)
        return socket.fileno() if socket is not None else None

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Sets `innodb_lock_wait_timeout`, in whole seconds, in each session."""
        was_given = "read_timeout" in engine.url.query

        @event.listens_for(engine, "connect")
        def set_timeouts(dbapi_connection: Any, _: Any) -> None:
            if not was_given and hasattr(dbapi_connection, "_read_timeout"):
                # It was for the handshake, which PyMySQL's connect_timeout leaves
                # out; statements may take longer.
                dbapi_connection._read_timeout = None  # noqa: SLF001
            cursor = dbapi_connection.cursor()
            cursor.execute(
                "SET SESSION innodb_lock_wait_timeout = %s", (ceil(lock_timeout),)
            )
            cursor.close()

    def watch(self, engine: Engine) -> None:
        """Has sessions leave out nothing, and PyMySQL's cursors see what ends."""
        listen_to_pool(engine, "connect", _leave_out_nothing)
        listen_to_pool(engine, "connect", watch_transactions)


def _leave_out_nothing(dbapi_connection: Any, _: object) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute(_SESSION)
    limit, *character_sets = cursor.fetchone()
    if limit != _UNLIMITED:
        cursor.execute(f"SET SESSION sql_select_limit = {_UNLIMITED}")
    # For what another character set lacks, the server sends, or stores, question marks.
    if set(character_sets) != {"utf8mb4"}:
        # The driver has to know as well. One of them has another name for it.
        for name in ("set_character_set", "set_charset_collation"):
            if hasattr(dbapi_connection, name):
                getattr(dbapi_connection, name)("utf8mb4")
        cursor.execute("SET NAMES utf8mb4")
    cursor.close()
