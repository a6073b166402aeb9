"""Positions by LAST_INSERT_ID."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Executable,
    Select,
    Table,
    Update,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.mysql import insert

from eventsourcing_alchemy.dialects.base import Application, Taken
from eventsourcing_alchemy.dialects.base.appending import Appending
from eventsourcing_alchemy.host import DataError, StoredEvent
from eventsourcing_alchemy.schema.tables import applications
from eventsourcing_alchemy.statements.applications import advance_position
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.parameters import row

KEPT_IDS = 1000
"""IDs of applications that are known, each of which saves a SELECT."""

_NEVER_TOO_LARGE = 256 * 1024
"""Bytes of a state that any server takes."""

_OTHER_PARTS = 16 * 1024
"""Bytes of a statement beside a state."""


class MySQLAppending(Appending):
    """Reads the position that an UPDATE reached from its own answer."""

    def __init__(self) -> None:
        self._application_ids: dict[Application, int] = {}

    def append(
        self,
        executor: Executor,
        table: Table,
        application: Application,
        events: Sequence[StoredEvent],
        *,
        notify: bool,
    ) -> int:
        """Refuses too large events before it locks anything."""
        self.refuse_too_large(executor, events)
        return super().append(executor, table, application, events, notify=notify)

    def refuse_too_large(
        self, executor: Executor, events: Sequence[StoredEvent]
    ) -> None:
        """Those of which a statement exceeds `max_allowed_packet`.

        The server would close the connection, as in an outage.
        """
        largest = max(events, key=lambda event: len(event.state))
        if self.may_be_too_large(len(largest.state)):
            what = f"state of {largest.topic!r}"
            self.refuse_value(executor, what, largest.state)

    @staticmethod
    def may_be_too_large(size: int) -> bool:
        """Whether there are servers that do not take so many bytes."""
        return size >= _NEVER_TOO_LARGE

    @staticmethod
    def refuse_value(
        executor: Executor, what: str, value: bytes, beside: int = 0
    ) -> None:
        """Refuses a value that the server does not take in a statement.

        Args:
            executor: asks the server.
            what: the value is, for the error.
            value: is the largest one of the statement.
            beside: number of bytes of other values.

        Raises:
            DataError: names the limit of the server.
        """
        limit = executor.scalar(_max_allowed_packet(), {})
        size = len(value)
        others = beside + _OTHER_PARTS
        if 2 * size + others > limit:
            size = _size_sent(executor.driver_connection, value)
        if size + others > limit:
            msg = (
                f"The {what} takes {size + beside:,} bytes in a statement, but "
                f"max_allowed_packet of the server is {limit:,}: raise it"
            )
            raise DataError(msg)

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
                # MariaDB's Connector tells it to whom it knows, not to SQLAlchemy.
                last = result.lastrowid or executor.scalar(_last_statement(), {})
                return Taken(known, int(last))
        taken = super().take_positions(executor, application, count)
        if len(self._application_ids) >= KEPT_IDS:
            self._application_ids.clear()
        self._application_ids[application] = taken.application_id
        return taken

    def register(self, executor: Executor, name: str) -> None:
        """Locks the row that is there for writing.

        A duplicate that fails locks it for reading; two of these, both about to
        write, would be a deadlock.
        """
        executor.execute(_register_statement(), {"name_": name})


@cache
def _register_statement() -> Executable:
    return (
        insert(applications)
        .values(row(applications))
        .on_duplicate_key_update(name=applications.c.name)
    )


@cache
def _last_statement() -> Select[Any]:
    return select(func.last_insert_id())


@cache
def _advance_known_statement() -> Update:
    count = bindparam("count", type_=BigInteger)
    advanced = applications.c.last_notification_id + count
    return (
        advance_position()
        .where(applications.c.id == bindparam("known", type_=BigInteger))
        .values(last_notification_id=func.last_insert_id(advanced))
    )


@cache
def _max_allowed_packet() -> Select[Any]:
    return select(literal_column("@@max_allowed_packet", BigInteger))


def _size_sent(driver_connection: Any, state: bytes) -> int:
    """Of PyMySQL, which sends hexadecimal digits, or did escape some bytes."""
    escape = getattr(driver_connection, "escape", None)
    return len(state) if escape is None else len(escape(bytes(state)))
