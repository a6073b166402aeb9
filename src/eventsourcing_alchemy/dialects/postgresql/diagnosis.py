"""Durability, poolers and the notification queue, asked of the server."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import URL, Connection, func, select, text

from eventsourcing_alchemy.dialects.base.diagnosis import Diagnosis, Finding, Level

LONG_TRANSACTION = 600.0
"""Seconds after which a transaction of somebody costs appends noticeable time."""

_TURNED_OFF = "A crash of the server may lose acknowledged commits"


class PostgreSQLDiagnosis(Diagnosis):
    """Durability, poolers and the notification queue."""

    def durability(self, connection: Connection) -> Iterator[Finding]:
        """By `fsync`, `full_page_writes` and `synchronous_commit`."""
        for name, level in (
            ("fsync", Level.ERROR),
            ("full_page_writes", Level.ERROR),
            ("synchronous_commit", Level.WARNING),
        ):
            value = connection.scalar(select(func.current_setting(name)))
            if value == "off":
                yield Finding(name, level, f"off: {_TURNED_OFF}", f"Set {name} = on")
            else:
                yield Finding(name, Level.OK, str(value))

    def limits(self, connection: Connection) -> Iterator[Finding]:
        """Whether the queue of notifications has room, and old rows can be removed."""
        if connection.scalar(select(func.pg_is_in_recovery())):
            yield Finding(
                "standby",
                Level.WARNING,
                "This server is a standby, which is read-only",
                "List all servers in SQLALCHEMY_URL, with "
                "target_session_attrs=read-write",
            )
            return
        usage = connection.scalar(select(func.pg_notification_queue_usage())) or 0.0
        yield _queue(float(usage))
        yield from _long_transactions(connection)

    def between(self, connection: Connection, url: URL) -> Iterator[Finding]:  # noqa: ARG002
        """A pooler tells its clients another process ID than the server's."""
        told = _told_pid(connection.connection.dbapi_connection)
        if told is None:
            return
        if told == connection.scalar(select(func.pg_backend_pid())):
            yield Finding(
                "pooler", Level.OK, "none between this process and the server"
            )
            return
        yield Finding(
            "pooler",
            Level.WARNING,
            "Connections go through a pooler, such as PgBouncer. In its transaction "
            "mode, LISTEN and lock_timeout do nothing, and prepared statements may "
            "fail",
            "Set SQLALCHEMY_LISTEN_URL to a URL past the pooler, lock_timeout for the "
            "role, and SQLALCHEMY_PREPARE_THRESHOLD=none if it does not support "
            "prepared statements",
        )


def _told_pid(driver_connection: Any) -> int | None:
    """The process ID that libpq was told when it connected."""
    info = getattr(driver_connection, "info", None)
    pid = getattr(info, "backend_pid", None)
    return None if pid is None else int(pid)


def _queue(usage: float) -> Finding:
    shown = f"{usage:.0%} of the notification queue is in use"
    if usage < 0.5:
        return Finding("notification queue", Level.OK, shown)
    return Finding(
        "notification queue",
        Level.ERROR,
        f"{shown}: events are recorded without NOTIFY",
        "End the session that has executed LISTEN and is 'idle in transaction'",
    )


def _long_transactions(connection: Connection) -> Iterator[Finding]:
    """Those because of which every append leaves an old row behind."""
    found = connection.execute(_OLDEST, {"seconds": LONG_TRANSACTION}).first()
    if found is None:
        yield Finding("long transactions", Level.OK, "none")
        return
    yield Finding(
        "long transactions",
        Level.WARNING,
        f"Session {found.pid} has been in a transaction for {found.seconds:.0f} s: "
        f"appends become slower until it ends",
        f"SELECT pg_terminate_backend({found.pid}), and set "
        f"idle_in_transaction_session_timeout",
    )


_OLDEST = text(
    """
    SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_xmin IS NOT NULL
        AND pid <> pg_backend_pid()
        AND xact_start < clock_timestamp() - :seconds * interval '1 second'
    ORDER BY xact_start LIMIT 1
    """
)
