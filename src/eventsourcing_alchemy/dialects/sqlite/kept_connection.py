"""A connection that those who take turns use one after the other."""

from typing import Any

from sqlalchemy import Connection, Engine

from eventsourcing_alchemy.dialects.sqlite.beginning import wait_for_locks
from eventsourcing_alchemy.resilience.connecting import close, connect


class KeptConnection:
    """A connection beside the pool, which would take longer than a short transaction.

    It takes no place in the pool, so nobody has to wait for it.
    """

    def __init__(self) -> None:
        self._idle: list[Connection] = []
        self._driver_connection: Any = None
        self._may_keep = True

    def take(self, engine: Engine) -> Connection:
        """The connection that is kept, or a new one.

        Args:
            engine: always the same.
        """
        try:
            return self._idle.pop()
        except IndexError:
            connection = connect(engine)
            self._driver_connection = connection.connection.dbapi_connection
            connection.detach()
            # Who writes waits in a queue, not for locks.
            wait_for_locks(self._driver_connection, 0)
            return connection

    def give_back(self, connection: Connection) -> None:
        """Keeps it for the next one, if it can be used."""
        if self._is_usable(connection):
            self._idle.append(connection)
        else:
            close(connection)
            # SQLAlchemy forgets a connection beside the pool that is of no use.
            self._driver_connection.close()
        if not self._may_keep:
            self._close_idle()

    def _is_usable(self, connection: Connection) -> bool:
        if connection.closed or connection.invalidated:
            return False
        return not self._driver_connection.in_transaction

    def is_open(self) -> bool:
        """Whether one is kept, or in use."""
        try:
            return self._driver_connection.in_transaction is not None
        except Exception:  # Of the driver: it is closed. Or there never was one.
            return False

    def end(self) -> None:
        """Keeps none any more, until `begin()`. One that is in use is closed after."""
        self._may_keep = False
        self._close_idle()

    def begin(self) -> None:
        """Keeps it again."""
        self._may_keep = True

    def _close_idle(self) -> None:
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # Another thread was faster.
                return
            close(connection)
