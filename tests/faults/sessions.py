"""The sessions of a database, as its server sees them, to end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from faults.report import inject
from faults.waiting import wait_until


@dataclass(frozen=True)
class _Statements:
    find: str
    is_blocked: str
    end: str
    lock: str
    unlock: str


_POSTGRESQL = _Statements(
    find="SELECT pid FROM pg_stat_activity WHERE datname = :database "
    "AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND ({})",
    is_blocked="wait_event_type = 'Lock'",
    end="SELECT pg_terminate_backend(:session)",
    lock="LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
    unlock="SELECT 1",
)
_MARIADB = _Statements(
    find="SELECT id FROM information_schema.processlist WHERE db = :database "
    "AND id <> connection_id() AND ({})",
    is_blocked="state = 'Waiting for table metadata lock'",
    end="KILL :session",
    lock="LOCK TABLES {} WRITE",
    unlock="UNLOCK TABLES",
)


class Sessions:
    """The sessions of a database, but for our own.

    Args:
        url: of the database, for a user who may end sessions.
    """

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        is_postgresql = self._url.get_backend_name() == "postgresql"
        self._statements = _POSTGRESQL if is_postgresql else _MARIADB

    def end(self, kind: str, condition: str = "TRUE") -> None:
        """End those for which a condition holds, once there is one.

        Args:
            kind: of connection, to be counted as a fault.
            condition: in SQL, on what the server tells about a session.
        """
        wait_until(lambda: self._end(kind, condition), f"no {kind}", patience=15)

    def end_all(self, kind: str) -> None:
        """End those that there are now."""
        self._end(kind, "TRUE")

    def end_blocked(self, kind: str) -> None:
        """End those that wait for a table, once there is one."""
        self.end(kind, self._statements.is_blocked)

    def are_there(self, condition: str) -> bool:
        """Whether there are any for which a condition holds, as in `end()`."""
        with self._engine().connect() as connection:
            return bool(self._found(connection, condition))

    def _found(self, connection: Connection, condition: str) -> Sequence[int]:
        find = text(self._statements.find.format(condition))
        return connection.scalars(find, {"database": self._url.database}).all()

    def _end(self, kind: str, condition: str) -> int:
        with self._engine().connect() as connection:
            found = self._found(connection, condition)
            for session in found:
                with suppress(OperationalError):  # It has ended by itself.
                    connection.execute(text(self._statements.end), {"session": session})
                    inject(f"{kind} terminated")
        return len(found)

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        """Let everybody who uses a table wait for the end of the block."""
        with self._engine().connect() as connection, connection.begin():
            connection.exec_driver_sql(self._statements.lock.format(table))
            yield
            connection.exec_driver_sql(self._statements.unlock)

    def _engine(self) -> Engine:
        return create_engine(self._url, poolclass=NullPool)
