"""PostgreSQL: one statement an append, LISTEN/NOTIFY, advisory locks."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, ClassVar

from eventsourcing.persistence import StoredEvent
from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    CursorResult,
    Engine,
    String,
    Table,
    bindparam,
    column,
    event,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.sql.selectable import Select

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.dialects.base import (
    BaseDialect,
    Listening,
    Options,
    schema_of,
)
from eventsourcing_alchemy.dialects.listener import Listener
from eventsourcing_alchemy.faults import Fault
from eventsourcing_alchemy.outages import Outage
from eventsourcing_alchemy.tables import applications

if TYPE_CHECKING:
    from eventsourcing_alchemy.upserts import Upsert

CHANNEL = "eventsourcing_alchemy"

_TRANSACTION_STATUS_INERROR = 3
"""PQTRANS_INERROR of libpq."""

CONNECT_TIMEOUT = 10
"""Seconds, where the URL does not say."""

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


class PostgreSQLDialect(BaseDialect):
    """Queues on advisory locks, which are cheaper to wait for than rows."""

    append_is_one_statement: ClassVar[bool] = True
    reading_options: ClassVar[Options] = {"isolation_level": "AUTOCOMMIT"}

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
        driver_connection = connection.connection.dbapi_connection
        info = getattr(driver_connection, "info", None)
        if info is None:  # Of pg8000.
            return getattr(driver_connection, "_transaction_status", b"") == b"E"
        return int(info.transaction_status) == _TRANSACTION_STATUS_INERROR

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Waits for an advisory lock, which the end of the transaction releases."""
        connection.execute(select(func.pg_advisory_xact_lock(lock_key(CHANNEL))))
        yield

    def append(
        self,
        connection: Connection,
        table: Table,
        name: str,
        events: Sequence[StoredEvent],
        options: Options,
        *,
        notify: bool,
    ) -> int:
        """Locks, takes positions, inserts and notifies in one statement."""
        parameters = {
            "application": name,
            "queue": lock_key(f"{schema_of(options)}.{name}"),
            "count": len(events),
            "originator_ids": [event.originator_id for event in events],
            "originator_versions": [event.originator_version for event in events],
            "topics": [event.topic for event in events],
            "states": [event.state for event in events],
        }
        statement = append_statement(table, notify)
        last = connection.scalar(statement, parameters, execution_options=options)
        if last is None:
            self.register(connection, name, options)
            last = connection.scalar(statement, parameters, execution_options=options)
        return int(last)

    def register(self, connection: Connection, name: str, options: Options) -> None:
        """Needs no savepoint, so works where each statement is a transaction."""
        statement = insert(applications).on_conflict_do_nothing()
        row = {"name": name, "last_notification_id": 0}
        connection.execute(statement, row, execution_options=options)

    def upsert(
        self,
        upsert: "Upsert",
        execute: Callable[..., CursorResult[Any]],
    ) -> CursorResult[Any]:
        """INSERT … ON CONFLICT."""
        statement = insert(upsert.table).values(upsert.values)
        return execute(
            statement.on_conflict_do_update(
                index_elements=upsert.index_elements, set_=upsert.set_
            )
        )

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


def lock_key(name: str) -> int:
    """An advisory lock for a name. A collision makes two names share a queue."""
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


@cache
def append_statement(table: Table, notify: bool) -> Select[Any]:
    """The append, as one statement that returns the last position.

    Those who append to the same application queue on an advisory lock first:
    waiting for it costs less than waiting for the row, and nobody but the first
    in the queue meets the row locked.
    """
    queue = select(
        func.pg_advisory_xact_lock(bindparam("queue", type_=BigInteger))
        .cast(String)
        .label("locked")
    ).cte("queue")
    counter = (
        statements.advance_position()
        # Reading the CTE makes it run, and before the row is locked.
        .where(select(literal(1)).select_from(queue).exists())
        .returning(applications.c.id, applications.c.last_notification_id)
        .cte("counter")
    )
    stored = _unnested(table)
    inserted = (
        insert(table)
        .from_select(
            ["application_id", "notification_id", *_EVENT_COLUMNS],
            select(
                counter.c.id,
                counter.c.last_notification_id
                - bindparam("count", type_=BigInteger)
                + stored.c.number,
                *(stored.c[name] for name in _EVENT_COLUMNS),
            ).select_from(counter.join(stored, literal(True))),
            include_defaults=False,
        )
        .cte("inserted")
    )
    columns: list[Any] = [counter.c.last_notification_id]
    if notify:
        columns.append(func.pg_notify(CHANNEL, bindparam("application")))
    return select(*columns).select_from(counter).add_cte(inserted)


_EVENT_COLUMNS = ("originator_id", "originator_version", "topic", "state")


def _unnested(table: Table) -> Any:
    """The events as rows, numbered from 1, from one array a column."""
    arrays = [
        bindparam(f"{name}s", type_=ARRAY(table.c[name].type))
        for name in _EVENT_COLUMNS
    ]
    names = [column(name, table.c[name].type) for name in _EVENT_COLUMNS]
    return (
        func.unnest(*arrays)
        .table_valued(*names, with_ordinality="number", name="stored")
        .render_derived()
    )
