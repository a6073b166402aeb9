"""No open SQLite connection passes into a forked child."""

from collections.abc import Callable
from functools import cache
from threading import Condition, RLock
from typing import Any
from weakref import WeakSet

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from eventsourcing_alchemy.resilience.connecting import connect_as_told

PATIENCE = 5.0
"""Seconds to wait before a fork for connections that are in use."""


class _Guarded:
    """A connection that tells when it is closed, not before."""

    when_closed: Callable[["_Guarded"], None] | None = None

    def close(self) -> None:
        """Closes the connection."""
        super().close()  # type: ignore[misc]
        when_closed, self.when_closed = self.when_closed, None
        if when_closed is not None:
            when_closed(self)


@cache
def guarded(connection_class: type) -> type[Any]:
    """The class of a driver's connections, guarded."""
    return type("GuardedConnection", (_Guarded, connection_class), {})


class ForkGuard:
    """Closes the connections of an engine before its process forks.

    SQLite remembers in memory which locks on the file its process has. A child that
    is born with an open connection has that memory, but not the locks: its parent
    would remove the log that the child writes to, and with it what was committed.
    So a child of a process in which a connection is in use is refused.

    Connections of a creator of the user's are closed too, if they are not in use.

    Args:
        engine: of a SQLite file.
    """

    def __init__(self, engine: Engine) -> None:
        self._is_forking = False
        self._is_refused = False
        self._renew()
        event.listen(engine, "do_connect", self._connect)

    def before_fork(self, engine: Engine) -> None:
        """Closes connections, and lets none be opened."""
        with self._lock:
            self._is_forking = True
        # Not the engine's dispose(), which has a new pool follow: a connection that is
        # just being opened would return to the old one, and nobody would close it.
        engine.pool.dispose()
        with self._lock:
            self._changed.wait_for(lambda: not self._open, PATIENCE)

    def after_fork(self) -> None:
        """Lets connections be opened again, in the parent."""
        with self._lock:
            self._is_forking = False
            self._changed.notify_all()

    def abandon(self) -> None:
        """Starts anew in the child, or refuses to."""
        self._is_forking = False
        self._is_refused = self._is_refused or bool(self._open)
        self._renew()

    def _renew(self) -> None:
        # Not by `with self._changed`, which is no single step of the interpreter: an
        # interrupt could leave it locked.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        # One whose thread was interrupted may be gone without having been closed.
        self._open: WeakSet[_Guarded] = WeakSet()

    def _connect(
        self,
        dialect: Dialect,
        entry: ConnectionPoolEntry,
        arguments: Any,
        parameters: dict[str, Any],
    ) -> Any:
        driver: Any = dialect.loaded_dbapi
        if self._is_refused:
            msg = (
                "This process was forked while a connection to the SQLite file was in "
                "use, and cannot use the file safely: fork earlier, or start the "
                "process by spawn or forkserver"
            )
            raise driver.OperationalError(msg)
        with self._lock:
            self._changed.wait_for(lambda: not self._is_forking)
            factory = {"factory": guarded(driver.Connection)}
            connection = connect_as_told(
                dialect, entry, arguments, parameters | factory
            )
            self._open.add(connection)
        connection.when_closed = self._closed
        return connection

    def _closed(self, connection: _Guarded) -> None:
        with self._lock:
            self._open.discard(connection)
            self._changed.notify_all()
