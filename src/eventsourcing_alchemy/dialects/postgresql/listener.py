"""The connection on which a process LISTENs."""

import logging
from collections.abc import Callable
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from socket import SHUT_RDWR, socketpair
from threading import Thread, current_thread
from time import monotonic
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.ddl import ExecutableDDLElement

from eventsourcing_alchemy.host import OperationalError
from eventsourcing_alchemy.resilience.backoff import Backoff
from eventsourcing_alchemy.resilience.inheritance import let_go_of
from eventsourcing_alchemy.resilience.outages import Outage
from eventsourcing_alchemy.resilience.sockets import answering, keep_alive

logger = logging.getLogger("eventsourcing_alchemy")

BACKOFF = Backoff(first=0.1, longest=5.0)

HEARTBEAT = 10.0
"""Seconds of silence after which the server is asked for an answer."""

ANSWER_TIMEOUT = 5.0
"""Seconds in which it has to come, also that to LISTEN."""

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

    LISTEN is in effect when the constructor returns, and a notification of the
    listener's own has arrived. A connection that is lost, or gives no answer to a
    heartbeat, is opened again, with growing pauses. What is announced meanwhile is
    not heard, so afterwards everybody is told to look.

    Args:
        engine: opens the connection.
        writer: opens those that notify, possibly elsewhere.
        channel: to listen to.
        wake: is called in the thread of the listener, and must not block.
        outage: is told when the connection is lost, and when it is back.
        can_wait: tells of an error whether it may heal, so that the listener begins
            without a connection, and opens it when it can.

    Attributes:
        hears: whether notifications arrive, as far as is known.
        failure: why there is no connection from the beginning; None if there is.

    Raises:
        SQLAlchemyError: if the server cannot be reached, or refuses to LISTEN, and that
            is not to heal.
        OperationalError: if notifications do not arrive.
    """

    def __init__(
        self,
        engine: Engine,
        writer: Engine,
        channel: str,
        wake: Callable[[str], None],
        outage: Outage,
        can_wait: Callable[[BaseException], bool],
    ) -> None:
        self.hears = False
        self.failure: str | None = None
        self._engine = engine
        self._writer = writer
        self._channel = channel
        self._wake = wake
        self._outage = outage
        self._abandoned = False
        self._is_silent = False
        self._expected: str | None = None
        self._connection: Connection | None = None
        try:
            self._connection = self._open_connection()
        except Exception as error:
            if not can_wait(error):
                raise
            self.failure = str(error)
        self._closing, self._close = socketpair()
        self._thread = Thread(target=self._run, name=f"LISTEN {channel}", daemon=True)
        self._thread.start()

    def abandon(self) -> None:
        """Leaves everything to the parent process, after a fork."""
        self._abandoned = True
        let_go_of(self._descriptor)

    def _descriptor(self) -> int | None:
        connection: Any = self._connection
        return _fileno(connection.connection.dbapi_connection)

    def close(self) -> None:
        """Ends the thread and closes the connection.

        Does not wait for a server that does not answer: the thread ends later, then.
        """
        if self._abandoned:
            return
        # Not close(), by which nothing ends while a forked child has a copy.
        self._close.shutdown(SHUT_RDWR)
        self._close.close()
        if self.hears and current_thread() is not self._thread:
            self._thread.join(PATIENCE)

    def _open_connection(self) -> Connection:
        connection = self._engine.connect()
        try:
            driver_connection = connection.connection.dbapi_connection
            keep_alive(_fileno(driver_connection))
            # For what arrives together with the answer to a query.
            driver_connection.add_notify_handler(  # type: ignore[union-attr]
                lambda notification: self._heard(notification.payload)
            )
            connection.execution_options(isolation_level="AUTOCOMMIT")
            self._beat(connection)
            self._test(driver_connection)
        except BaseException:
            _end(connection)
            raise
        self.hears = True
        return connection

    def _test(self, connection: Any) -> None:
        # Behind some poolers, LISTEN succeeds and nothing ever arrives.
        self._expected = str(uuid4())
        notify = select(func.pg_notify(self._channel, self._expected))
        with self._writer.connect() as writer:
            writer.execution_options(isolation_level="AUTOCOMMIT").execute(notify)
        self._writer.dispose()
        deadline = monotonic() + ANSWER_TIMEOUT
        with DefaultSelector() as selector:
            selector.register(connection, EVENT_READ)
            while self._expected is not None:
                if not selector.select(max(0, deadline - monotonic())):
                    msg = (
                        "Notifications do not arrive: check whether "
                        "SQLALCHEMY_LISTEN_URL leads through a pooler, or to another "
                        "server"
                    )
                    raise OperationalError(msg)
                self._take(connection)

    def _run(self) -> None:
        with self._closing:
            while not self._is_closing(0):
                if self._connection is None:
                    self._reopen()
                else:
                    self._relay_until_lost(self._connection)
        if self._connection is not None:
            _end(self._connection)

    def _relay_until_lost(self, connection: Connection) -> None:
        try:
            self._relay(connection)
        except Exception as error:
            self.hears = False
            _end(connection)
            self._connection = None
            # A server that ends idle sessions is there, and no outage.
            if self._is_silent or not self._has_reopened():
                self._outage.begin(error)

    def _reopen(self) -> None:
        for pause in BACKOFF.pauses():
            if self._is_closing(pause):
                return
            if self._has_reopened():
                self._outage.end()
                return

    def _has_reopened(self) -> bool:
        try:
            self._connection = self._open_connection()
        except Exception as error:
            logger.debug("Cannot LISTEN yet: %s", str(error))
            return False
        self.failure = None
        self._outage.resume()
        return True

    def _relay(self, connection: Connection) -> None:
        driver_connection = connection.connection.dbapi_connection
        with DefaultSelector() as selector:
            selector.register(self._closing, EVENT_READ)
            selector.register(_fileno(driver_connection), EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(HEARTBEAT)}
                if self._closing in ready:
                    return
                if ready:
                    self._take(driver_connection)
                else:
                    self.hears = False
                    asked = monotonic()
                    try:
                        self._beat(connection)
                    finally:
                        self._is_silent = monotonic() - asked >= ANSWER_TIMEOUT
                    self.hears = True

    def _take(self, connection: Any) -> None:
        # Not by `notifies()`, which psycopg has no form of that never waits.
        connection.pgconn.consume_input()
        while notification := connection.pgconn.notifies():
            self._heard(notification.extra.decode(connection.info.encoding))

    def _heard(self, payload: str) -> None:
        if payload == self._expected:
            self._expected = None
        else:
            self._wake(payload)

    def _beat(self, connection: Connection) -> None:
        # Again and again: the server shows what its sessions did last.
        driver_connection = connection.connection.dbapi_connection
        with answering(partial(_fileno, driver_connection), ANSWER_TIMEOUT):
            connection.execute(Listen(self._channel))

    def _is_closing(self, timeout: float) -> bool:
        with DefaultSelector() as selector:
            selector.register(self._closing, EVENT_READ)
            return bool(selector.select(timeout))


def _fileno(connection: Any) -> int:
    return int(connection.fileno())


def _end(connection: Connection) -> None:
    # It must not return to a pool: it still LISTENs.
    if not connection.closed:
        connection.invalidate()
        connection.close()
