"""Connections by psycopg and the other drivers."""

from collections.abc import Hashable
from typing import Any

from sqlalchemy import URL, Connection, Engine, ExceptionContext, event, text
from sqlalchemy.pool import ConnectionPoolEntry

from eventsourcing_alchemy.dialects.base.connections import Connections
from eventsourcing_alchemy.dialects.base.pool_listeners import listen_to_pool
from eventsourcing_alchemy.dialects.postgresql.arrays import register_arrays
from eventsourcing_alchemy.dialects.postgresql.counting_cursor import (
    count_transactions,
)
from eventsourcing_alchemy.dialects.postgresql.drivers import (
    has_binary_results,
    is_autocommit,
    is_of_psycopg,
)
from eventsourcing_alchemy.dialects.postgresql.errors import is_of_stale_plan
from eventsourcing_alchemy.dialects.urls import PREPARE_THRESHOLD, checked_integer
from eventsourcing_alchemy.resilience.connecting import driver_connection_of

CONNECT_TIMEOUT = 10
"""Seconds, where the URL does not say."""


_AUTOCOMMIT = "eventsourcing_alchemy_autocommit"
"""Whether a session was in that mode when it began."""


_LIBPQ = {"psycopg", "psycopg2"}


_INTEGERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "tcp_user_timeout",
)
"""Options of libpq's, which tells only on connecting that they are none."""


_PLACE = text("SELECT current_database(), pg_postmaster_start_time()")
"""Servers that were started in the same microsecond may be taken for each other."""


class PostgreSQLConnections(Connections):
    """Sessions with timeouts, which return to the pool as they were."""

    drivers = ("psycopg", "psycopg2", "pg8000")

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """A timeout for connecting, which libpq waits for much longer, and UTF-8.

        A database in SQL_ASCII has no encoding of its own to tell psycopg.
        """
        driver = url.get_dialect().driver
        arguments: dict[str, Any] = {}
        if driver in _LIBPQ:
            for option in _INTEGERS:
                checked_integer(url, option)
            defaults = {"connect_timeout": CONNECT_TIMEOUT, "client_encoding": "utf8"}
            arguments |= {k: v for k, v in defaults.items() if k not in url.query}
        if driver == "psycopg" and PREPARE_THRESHOLD in url.query:
            arguments[PREPARE_THRESHOLD] = _threshold(url)
        return {"connect_args": arguments} if arguments else {}

    def place(self, connection: Connection) -> Hashable:
        """The database, and when its server was started."""
        return tuple(connection.execute(_PLACE).one())

    def descriptor(self, connection: Any) -> int | None:
        """Of libpq's socket."""
        fileno = getattr(connection, "fileno", None)
        return fileno() if fileno is not None else None

    def watch(self, engine: Engine) -> None:
        """Prepares sessions of psycopg; has sessions returned as they were.

        psycopg then sends arrays in one piece, can read times, and counts transactions.
        Sessions whose prepared statements no longer fit a table are replaced.
        """
        listen_to_pool(engine, "connect", _prepare)
        listen_to_pool(engine, "checkin", _restore)
        event.listen(engine, "handle_error", _replace)

    def configure(self, engine: Engine, lock_timeout: float) -> None:
        """Sets `lock_timeout` in each session."""
        milliseconds = str(max(1, int(lock_timeout * 1000)))

        @event.listens_for(engine, "connect")
        def set_lock_timeout(dbapi_connection: Any, _: Any) -> None:
            cursor = dbapi_connection.cursor()
            cursor.execute(
                "SELECT set_config('lock_timeout', %s, false)", (milliseconds,)
            )
            cursor.close()
            dbapi_connection.commit()

    def cursor(self, driver_connection: Any) -> Any:
        """Of psycopg, one that transfers bytes and UUIDs as they are, if it can."""
        if has_binary_results(driver_connection):
            return driver_connection.cursor(binary=True)
        return driver_connection.cursor()


def _tell_times_in_iso(connection: Any) -> None:
    # psycopg reads times as text in no other form; other drivers set it themselves.
    if not connection.info.parameter_status("DateStyle").startswith("ISO"):
        # What dates of the user's mean, such as 01/02/2026, stays as it was.
        connection.execute("SET DateStyle = ISO")
        connection.commit()


def _threshold(url: URL) -> int | None:
    # psycopg takes it for what it is, and no text.
    if str(url.query[PREPARE_THRESHOLD]).lower() == "none":
        return None
    return checked_integer(url, PREPARE_THRESHOLD)


def _prepare(dbapi_connection: Any, entry: ConnectionPoolEntry) -> None:
    entry.info[_AUTOCOMMIT] = is_autocommit(dbapi_connection)
    if is_of_psycopg(dbapi_connection):
        register_arrays(dbapi_connection)
        _tell_times_in_iso(dbapi_connection)
        count_transactions(dbapi_connection)


def _replace(context: ExceptionContext) -> None:
    connection = context.connection
    if connection is None or not is_of_stale_plan(context.original_exception):
        return
    driver_connection = driver_connection_of(connection)
    # Drivers prepare anew after a rollback, which does not follow in autocommit.
    if driver_connection is not None and is_autocommit(driver_connection):
        context.is_disconnect = True


def _restore(dbapi_connection: Any, entry: ConnectionPoolEntry) -> None:
    # A signal handler that raises can prevent `committing_each()` from it.
    if dbapi_connection is None or _AUTOCOMMIT not in entry.info:
        return
    if is_autocommit(dbapi_connection) != entry.info[_AUTOCOMMIT]:
        entry.invalidate()
