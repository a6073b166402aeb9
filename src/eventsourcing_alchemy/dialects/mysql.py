"""MySQL and MariaDB: READ COMMITTED, LAST_INSERT_ID, GET_LOCK."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from math import ceil
from typing import Any

from eventsourcing.persistence import OperationalError
from sqlalchemy import (
    URL,
    BigInteger,
    Connection,
    Engine,
    ExceptionContext,
    Executable,
    Table,
    Update,
    bindparam,
    event,
    func,
    select,
)
from sqlalchemy.dialects.mysql import insert

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.dialects.base import Application, BaseDialect, Taken
from eventsourcing_alchemy.executors import Executor
from eventsourcing_alchemy.faults import Fault
from eventsourcing_alchemy.tables import applications

_MIGRATION_LOCK = "eventsourcing_alchemy"
_DEADLOCK = "eventsourcing_alchemy_deadlock"
_ER_LOCK_DEADLOCK = 1213

CONNECT_TIMEOUT = 10
"""Seconds, where the URL does not say."""

_FAULTS = {
    _ER_LOCK_DEADLOCK: Fault.CONFLICT,  # Of Galera: certification, too.
    1020: Fault.CONFLICT,  # ER_CHECKREAD: the row has changed
    1205: Fault.CONFLICT,  # ER_LOCK_WAIT_TIMEOUT
    1317: Fault.CANCELLED,  # ER_QUERY_INTERRUPTED
    1969: Fault.CANCELLED,  # ER_STATEMENT_TIMEOUT of MariaDB
    3024: Fault.CANCELLED,  # ER_QUERY_TIMEOUT of MySQL
    1021: Fault.SHORTAGE,  # ER_DISK_FULL
    1040: Fault.SHORTAGE,  # ER_CON_COUNT_ERROR
    1041: Fault.SHORTAGE,  # ER_OUT_OF_RESOURCES
    1114: Fault.SHORTAGE,  # ER_RECORD_FILE_FULL
    1203: Fault.SHORTAGE,  # ER_TOO_MANY_USER_CONNECTIONS
    1047: Fault.OUTAGE,  # ER_UNKNOWN_COM_ERROR: a Galera node without its cluster
    1053: Fault.OUTAGE,  # ER_SERVER_SHUTDOWN
    1080: Fault.OUTAGE,  # ER_FORCING_CLOSE
    1152: Fault.OUTAGE,  # ER_ABORTING_CONNECTION
    1158: Fault.OUTAGE,  # ER_NET_READ_ERROR
    1159: Fault.OUTAGE,  # ER_NET_READ_INTERRUPTED
    1160: Fault.OUTAGE,  # ER_NET_ERROR_ON_WRITE
    1161: Fault.OUTAGE,  # ER_NET_WRITE_INTERRUPTED
    1180: Fault.OUTAGE,  # ER_ERROR_DURING_COMMIT: Galera lost its cluster in COMMIT
    1290: Fault.OUTAGE,  # ER_OPTION_PREVENTS_STATEMENT: --read-only, a former primary
    1927: Fault.OUTAGE,  # ER_CONNECTION_KILLED
    2002: Fault.OUTAGE,  # CR_CONNECTION_ERROR
    2003: Fault.OUTAGE,  # CR_CONN_HOST_ERROR
    2005: Fault.OUTAGE,  # CR_UNKNOWN_HOST
    2006: Fault.OUTAGE,  # CR_SERVER_GONE_ERROR
    2013: Fault.OUTAGE,  # CR_SERVER_LOST
    1044: Fault.REFUSED,  # ER_DBACCESS_DENIED_ERROR
    1045: Fault.REFUSED,  # ER_ACCESS_DENIED_ERROR
    1049: Fault.REFUSED,  # ER_BAD_DB_ERROR
    1054: Fault.REFUSED,  # ER_BAD_FIELD_ERROR
    1142: Fault.REFUSED,  # ER_TABLEACCESS_DENIED_ERROR
    1143: Fault.REFUSED,  # ER_COLUMNACCESS_DENIED_ERROR
    1146: Fault.REFUSED,  # ER_NO_SUCH_TABLE
    1370: Fault.REFUSED,  # ER_PROCACCESS_DENIED_ERROR
}


class MySQLDialect(BaseDialect):
    """Reads the position that an UPDATE reached from its own answer."""

    def __init__(self) -> None:
        self._application_ids: dict[Application, int] = {}

    def engine_options(self, url: URL, lock_timeout: float) -> dict[str, Any]:  # noqa: ARG002
        """READ COMMITTED: polls see new rows, and no gaps are locked."""
        options: dict[str, Any] = {"isolation_level": "READ COMMITTED"}
        if url.get_dialect().driver == "pymysql":
            timeout = int(str(url.query.get("connect_timeout", CONNECT_TIMEOUT)))
            options["connect_args"] = {"connect_timeout": timeout}
            if "read_timeout" not in url.query:
                options["connect_args"]["read_timeout"] = timeout
        return options

    def fault(self, error: BaseException) -> Fault:
        """By the number of the error."""
        number, *_ = error.args or (None,)
        return _FAULTS.get(number, Fault.LASTING)

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
        """Notes deadlocks, which roll back everything, savepoints or not."""
        event.listen(engine, "handle_error", _note_deadlock)

    def ensure_begun(self, connection: Connection) -> None:
        """Forgets the deadlocks of earlier transactions."""
        super().ensure_begun(connection)
        connection.info.pop(_DEADLOCK, None)

    def commits_each_statement(self, connection: Connection) -> bool:
        """Whether the driver is in autocommit mode."""
        driver_connection = connection.connection.dbapi_connection
        return bool(driver_connection and driver_connection.get_autocommit())

    def is_aborted(self, connection: Connection) -> bool:
        """Whether a deadlock ended the transaction, and another one began."""
        return _DEADLOCK in connection.info

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Holds a named lock of the server, because DDL commits."""
        database = str(connection.engine.url.database)
        digest = blake2b(database.encode(), digest_size=16).hexdigest()
        name = f"{_MIGRATION_LOCK}.{digest}"
        if connection.scalar(select(func.get_lock(name, 60))) != 1:
            msg = "Waited 60 s for another process that migrates the database"
            raise OperationalError(msg)
        try:
            yield
        finally:
            connection.scalar(select(func.release_lock(name)))

    def take_positions(
        self, executor: Executor, application: Application, count: int
    ) -> Taken:
        """Saves a SELECT: the server answers an UPDATE with LAST_INSERT_ID."""
        known = self._application_ids.get(application)
        if known is not None:
            # The ID is only a guess (a rollback may have taken the row away), and
            # the UPDATE checks it while it locks the row.
            parameters = {
                "application": application.name,
                "count": count,
                "known": known,
            }
            result = executor.execute(_advance_known_statement(), parameters)
            if result.rowcount:
                return Taken(known, result.lastrowid)
        taken = super().take_positions(executor, application, count)
        self._application_ids[application] = taken.application_id
        return taken

    def register(self, executor: Executor, name: str) -> None:
        """Locks the row that is there for writing.

        A duplicate that fails locks it for reading; two of these, both about to
        write, would be a deadlock.
        """
        executor.execute(_register_statement(), {"name_": name})

    def upsert_statement(
        self,
        table: Table,
        values: Mapping[str, Any],
        set_: Mapping[str, Any],
        index_elements: Sequence[str],  # noqa: ARG002
    ) -> Executable:
        """INSERT … ON DUPLICATE KEY UPDATE."""
        return insert(table).values(values).on_duplicate_key_update(dict(set_))


def _note_deadlock(context: ExceptionContext) -> None:
    code, *_ = context.original_exception.args or (None,)
    if context.connection is not None and code == _ER_LOCK_DEADLOCK:
        context.connection.info[_DEADLOCK] = True


@cache
def _register_statement() -> Executable:
    return (
        insert(applications)
        .values(statements.row(applications))
        .on_duplicate_key_update(name=applications.c.name)
    )


@cache
def _advance_known_statement() -> Update:
    count = bindparam("count", type_=BigInteger)
    advanced = applications.c.last_notification_id + count
    return (
        statements.advance_position()
        .where(applications.c.id == bindparam("known", type_=BigInteger))
        .values(last_notification_id=func.last_insert_id(advanced))
    )
