"""The connection on which a process LISTENs."""

import logging
from collections.abc import Callable
from selectors import EVENT_READ, DefaultSelector
from socket import socketpair
from threading import Thread, current_thread
from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.ddl import ExecutableDDLElement

logger = logging.getLogger("eventsourcing_alchemy")

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to reconnect."""

PATIENCE = 1.0
"""Seconds in which a thread that is told to end usually does."""


class Listen(ExecutableDDLElement):
    """LISTEN, which SQLAlchemy has no construct for."""

    def __init__(self, channel: str) -> None:
        self.channel = channel


@compiles(Listen)
def _listen(listen: Listen, compiler: Any, **_: Any) -> str:
    return f"LISTEN {compiler.preparer.quote_identifier(listen.channel)}"


class Listener:
    """Calls `wake` with the payload of each notification on a channel.

    LISTEN is in effect when the constructor returns. A lost connection is opened
    again, with growing pauses; what is announced in the meantime is not heard.

    Args:
        engine: opens the connection.
        channel: to listen to.
        wake: is called in the thread of the listener, and must not block.

    Raises:
        SQLAlchemyError: if the server cannot be reached, or refuses to LISTEN (a
            standby does).
    """

    def __init__(
        self, engine: Engine, channel: str, wake: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._wake = wake
        self._abandoned = False
        self._connection = self._open_connection()
        self._closing, self._close = socketpair()
        self._thread = Thread(target=self._run, name=f"LISTEN {channel}", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """Leaves everything to the parent process, after a fork."""
        self._abandoned = True

    def close(self) -> None:
        """Ends the thread and closes the connection.

        Does not wait for a server that does not answer an attempt to reconnect.
        """
        if self._abandoned:
            return
        self._close.close()
        if current_thread() is not self._thread:
            self._thread.join(PATIENCE)

    def _open_connection(self) -> Connection:
        connection = self._engine.connect()
        try:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.execute(Listen(self._channel))
        except BaseException:
            connection.close()
            raise
        return connection

    def _run(self) -> None:
        with self._closing:
            while not self._is_closing(0):
                try:
                    self._relay(self._connection.connection.dbapi_connection)
                except Exception as error:
                    logger.warning("Lost the connection that LISTENs: %s", error)
                    self._end_connection()
                    self._reopen()
        self._end_connection()

    def _end_connection(self) -> None:
        # It must not return to a pool: it still LISTENs.
        if not self._connection.closed:
            self._connection.invalidate()
            self._connection.close()

    def _reopen(self) -> None:
        pause = 0.1
        while not self._is_closing(pause):
            try:
                self._connection = self._open_connection()
            except Exception as error:
                logger.debug("Cannot LISTEN yet: %s", error)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                logger.info("LISTENs again")
                return

    def _relay(self, connection: Any) -> None:
        with DefaultSelector() as selector:
            selector.register(self._closing, EVENT_READ)
            selector.register(connection, EVENT_READ)
            while self._closing not in {key.fileobj for key, _ in selector.select()}:
                for notification in connection.notifies(timeout=0):
                    self._wake(notification.payload)

    def _is_closing(self, timeout: float) -> bool:
        with DefaultSelector() as selector:
            selector.register(self._closing, EVENT_READ)
            return bool(selector.select(timeout))
