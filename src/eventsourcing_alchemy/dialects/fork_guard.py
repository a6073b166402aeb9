"""No open SQLite connection passes into a forked child."""

import sqlite3
from collections.abc import Callable
from threading import Condition
from typing import Any

from sqlalchemy import Dialect, Engine, event

PATIENCE = 5.0
"""Seconds to wait before a fork for connections that are in use."""


class GuardedConnection(sqlite3.Connection):
    """Tells when it is closed, not before."""

    when_closed: Callable[[], None] | None = None

    def close(self) -> None:
        """Closes the connection."""
        super().close()
        when_closed, self.when_closed = self.when_closed, None
        if when_closed is not None:
            when_closed()


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
        self._changed = Condition()
        self._open = 0
        self._is_forking = False
        self._is_refused = False
        event.listen(engine, "do_connect", self._connect)

    def before_fork(self, engine: Engine) -> None:
        """Closes connections, and lets none be opened."""
        with self._changed:
            self._is_forking = True
        # Not the engine's dispose(), which has a new pool follow: a connection that is
        # just being opened would return to the old one, and nobody would close it.
        engine.pool.dispose()
        with self._changed:
            self._changed.wait_for(lambda: not self._open, PATIENCE)

    def after_fork(self) -> None:
        """Lets connections be opened again, in the parent."""
        with self._changed:
            self._is_forking = False
            self._changed.notify_all()

    def abandon(self) -> None:
        """Starts anew in the child, or refuses to."""
        self._changed = Condition()
        self._is_forking = False
        self._is_refused = self._is_refused or self._open > 0
        self._open = 0

    def _connect(
        self, _dialect: Dialect, _: Any, arguments: Any, parameters: dict[str, Any]
    ) -> GuardedConnection:
        if self._is_refused:
            msg = (
                "This process was forked while a connection to the SQLite file was in "
                "use, and cannot use it safely: fork earlier, or start the process by "
                "spawn or forkserver"
            )
            raise sqlite3.OperationalError(msg)
        with self._changed:
            self._changed.wait_for(lambda: not self._is_forking)
            self._open += 1
        try:
            connection = sqlite3.connect(
                *arguments, **parameters, factory=GuardedConnection
            )
        except BaseException:
            self._closed()
            raise
        connection.when_closed = self._closed
        return connection

    def _closed(self) -> None:
        with self._changed:
            self._open -= 1
            self._changed.notify_all()
