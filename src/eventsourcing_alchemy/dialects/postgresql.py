"""PostgreSQL: one statement an append, LISTEN/NOTIFY, advisory locks."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from typing import Any

from eventsourcing.persistence import StoredEvent
from psycopg.pq import TransactionStatus
from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Executable,
    Table,
    event,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql.selectable import Select

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.dialects.arrays import register_arrays
from eventsourcing_alchemy.dialects.base import (
    Application,
    Listening,
)
from eventsourcing_alchemy.dialects.listener import Listener
from eventsourcing_alchemy.dialects.on_conflict import OnConflictDialect
from eventsourcing_alchemy.dialects.postgresql_append import (
    append_statement,
    event_parameters,
)
from eventsourcing_alchemy.executors import Executor
from eventsourcing_alchemy.faults import Fault
from eventsourcing_alchemy.outages import Outage
from eventsourcing_alchemy.tables import applications

CHANNEL = "eventsourcing_alchemy"

CONNECT_TIMEOUT = 10
"""Seconds, where the URL does not say."""

_AUTOCOMMIT = "eventsourcing_alchemy_autocommit"
"""Whether a session was in that mode when it began."""

_LIBPQ = {"psycopg", "psycopg2"}

_FAULTS = {
    "40001": Fault.CONFLICT,  # serialization_failure
    "40P01": Fault.CONFLICT,  # deadlock_detected
    "55P03": Fault.CONFLICT,  # lock_not_available
    "57014": Fault.CANCELLED,  # query_canceled
    "57P01": Fault.OUTAGE,  # admin_shutdown
    "57P02": Fault.OUTAGE,  # crash_shutdown
    "57P03": Fault.OUTAGE,  # cannot_connect_now
    "57P05": Fault.OUTAGE,  # idle_session_timeout
    "25006": Fault.OUTAGE,  # read_only_sql_transaction: of a former primary
    "25P03": Fault.OUTAGE,  # idle_in_transaction_session_timeout
    "25P04": Fault.OUTAGE,  # transaction_timeout
}
_FAULTS_OF_CLASSES = {
    "08": Fault.OUTAGE,  # Connection Exception
    "53": Fault.SHORTAGE,  # Insufficient Resources
    "28": Fault.REFUSED,  # Invalid Authorization Specification
    "3D": Fault.REFUSED,  # Invalid Catalog Name
    "3F": Fault.REFUSED,  # Invalid Schema Name
    "42": Fault.REFUSED,  # Syntax Error or Access Rule Violation
}

_ATTEMPT = re.compile(r"^- host: ('[^']*'|\S*), (.*)$", re.MULTILINE)
"""How psycopg tells of several attempts to connect."""

_CONNECTION_ERRORS = {"OperationalError", "InterfaceError", "ConnectionTimeout"}
"""What drivers call errors that are about a connection, if they have no SQLSTATE."""

_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry"
    r'|pg_hba\.conf rejects|(role|database) ".*" does not exist'
    r"|is not permitted to log in|permission denied for database"
    r"|certificate verify failed|server does not support SSL"
    r"|unrecognized configuration parameter"
)
"""What a server, or libpq, says to those whom it will not let in. There is no code for
it, because libpq keeps that of a failed connection to itself."""


class PostgreSQLDialect(OnConflictDialect):
    """Queues on advisory locks, which are cheaper to wait for than rows."""

    writes_alone = True
    insert = staticmethod(insert)

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """A timeout for connecting, which libpq waits for much longer."""
        driver = url.get_dialect().driver
        if driver not in _LIBPQ or "connect_timeout" in url.query:
            return {}
        return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT}}

    def fault(self, error: BaseException) -> Fault:
        """By SQLSTATE, which lost and refused connections do not have."""
        state = _sqlstate(error)
        if state is None:
            return _fault_of_connection(error)
        return _FAULTS.get(state, _FAULTS_OF_CLASSES.get(state[:2], Fault.LASTING))

    def descriptor(self, connection: Any) -> int | None:
        """Of libpq's socket."""
        fileno = getattr(connection, "fileno", None)
        return fileno() if fileno is not None else None

    def watch(self, engine: Engine) -> None:
        """Lets psycopg send arrays in one piece; has sessions returned as they were."""

        @event.listens_for(engine, "connect")
        def prepare(dbapi_connection: Any, entry: ConnectionPoolEntry) -> None:
            entry.info[_AUTOCOMMIT] = _is_autocommit(dbapi_connection)
            if _is_of_psycopg(dbapi_connection):
                register_arrays(dbapi_connection)

        @event.listens_for(engine, "checkin")
        def restore(dbapi_connection: Any, entry: ConnectionPoolEntry) -> None:
            # A signal handler that raises can prevent `committing_each()` from it.
            if dbapi_connection is None or _AUTOCOMMIT not in entry.info:
                return
            if _is_autocommit(dbapi_connection) != entry.info[_AUTOCOMMIT]:
                entry.invalidate()

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

    def is_aborted(self, connection: Connection) -> bool:
        """Whether a statement failed: COMMIT is a ROLLBACK then, but succeeds."""
        status = _status(connection.connection.dbapi_connection)
        return status == TransactionStatus.INERROR

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Waits for an advisory lock, which the end of the transaction releases."""
        connection.execute(select(func.pg_advisory_xact_lock(lock_key(CHANNEL))))
        yield

    def cursor(self, driver_connection: Any) -> Any:
        """Of psycopg, one that transfers bytes and UUIDs as they are."""
        if _is_of_psycopg(driver_connection):
            return driver_connection.cursor(binary=True)
        return driver_connection.cursor()

    @contextmanager
    def committing_each(self, driver_connection: Any) -> Iterator[None]:
        """Saves BEGIN and COMMIT."""
        before = driver_connection.autocommit
        if not before and _status(driver_connection) == TransactionStatus.INTRANS:
            # A listener of the user's has begun it, with a SET, say. What follows would
            # be part of it, and not be committed.
            driver_connection.commit()
        try:
            driver_connection.autocommit = True
            yield
        finally:
            # Of a connection that is lost, nobody will ask.
            with suppress(Exception):
                driver_connection.autocommit = before

    def append(
        self,
        executor: Executor,
        table: Table,
        application: Application,
        events: Sequence[StoredEvent],
        *,
        notify: bool,
    ) -> int:
        """Locks, takes positions, inserts and notifies in one statement."""
        name, schema = application
        parameters = {
            "application": name,
            "queue": lock_key(f"{schema}.{name}"),
            "count": len(events),
            **event_parameters(events),
        }
        channel = CHANNEL if notify else None
        statement = append_statement(table, channel, len(events) == 1)
        last = executor.scalar(statement, parameters)
        if last is None:
            self.register(executor, name)
            last = executor.scalar(statement, parameters)
        return int(last)

    def tracked_upsert_statement(
        self,
        table: Table,
        values: Mapping[str, Any],
        set_: Mapping[str, Any],
        index_elements: Sequence[str],
    ) -> Select[Any]:
        """One statement, which saves three round trips.

        Rivals wait for the row of the tracking. Then either the row is where they need
        it, or they find none. Of the row to update, ON CONFLICT finds the newest state.
        """
        advanced = (
            statements.advance_tracking()
            .returning(literal_column("1").label("found"))
            .cte("es_advanced")
        )
        inserting = self.insert(table).from_select(
            [table.c[name] for name in values],
            select(*values.values()).select_from(advanced),
            include_defaults=False,
        )
        upserted = self.or_update(inserting, set_, index_elements).cte("es_upserted")
        return select(advanced.c.found).add_cte(upserted)

    def register(self, executor: Executor, name: str) -> None:
        """Needs no savepoint, so works where each statement is a transaction."""
        row = {"name_": name}
        executor.execute(_register_statement(), row)

    def listen(
        self,
        engine: Engine,
        writer: Engine,
        wake: Callable[[str], None],
        outage: Outage,
        can_wait: Callable[[BaseException], bool],
    ) -> Listening | None:
        """LISTENs by psycopg; other drivers have no common way to wait."""
        if engine.dialect.driver != "psycopg":
            return None
        return Listener(engine, writer, CHANNEL, wake, outage, can_wait)


def _sqlstate(error: BaseException) -> str | None:
    for name in ("sqlstate", "pgcode"):  # Of psycopg, psycopg2.
        state: str | None = getattr(error, name, None)
        if state is not None:
            return state
    details = error.args[0] if error.args else None
    return details.get("C") if isinstance(details, dict) else None  # Of pg8000.


def _fault_of_connection(error: BaseException) -> Fault:
    if type(error).__name__ not in _CONNECTION_ERRORS:
        return Fault.LASTING
    # Of several hosts, each has to refuse; of a host's addresses, one.
    by_host: dict[str, bool] = {}
    for host, attempt in _ATTEMPT.findall(str(error)) or [("", str(error))]:
        by_host[host] = by_host.get(host, False) or bool(_REFUSED.search(attempt))
    is_refused = all(by_host.values())
    return Fault.REFUSED if is_refused else Fault.OUTAGE


def _is_autocommit(driver_connection: Any) -> bool:
    return bool(getattr(driver_connection, "autocommit", False))


def _is_of_psycopg(driver_connection: Any) -> bool:
    return hasattr(driver_connection, "pgconn")


def _status(driver_connection: Any) -> int:
    """A `TransactionStatus`."""
    if _is_of_psycopg(driver_connection):
        return int(driver_connection.pgconn.transaction_status)
    info = getattr(driver_connection, "info", None)
    if info is not None:  # Of psycopg2.
        return int(info.transaction_status)
    letter = getattr(driver_connection, "_transaction_status", b"")  # Of pg8000.
    return _STATUSES.get(letter, TransactionStatus.IDLE)


_STATUSES = {b"T": TransactionStatus.INTRANS, b"E": TransactionStatus.INERROR}
"""As the server tells them."""


@cache
def _register_statement() -> Executable:
    return (
        insert(applications)
        .values(statements.row(applications))
        .on_conflict_do_nothing()
    )


@cache
def lock_key(name: str) -> int:
    """An advisory lock for a name. A collision makes two names share a queue."""
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
