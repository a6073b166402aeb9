"""No open SQLite connection passes into a forked child."""

from collections.abc import Callable
from threading import Condition, RLock
from time import monotonic, sleep
from typing import Any
from weakref import WeakKeyDictionary, ref

from sqlalchemy import Dialect, Engine, Pool, event
from sqlalchemy.pool import ConnectionPoolEntry

from eventsourcing_alchemy.dialects.base.pool_listeners import listening_to
from eventsourcing_alchemy.resilience.connecting import connect_as_told
from eventsourcing_alchemy.resilience.inheritance import leave_to_parent

PATIENCE = 5.0
"""Seconds to wait before a fork for connections that are in use."""

_PAUSE = 0.005
"""Seconds between two looks whether they still are."""


class ForkGuard:
    """Closes the connections of an engine before its process forks.

    SQLite remembers in memory which locks on the file its process has. A child that
    is born with an open connection has that memory, but not the locks: its parent
    would remove the log that the child writes to, and with it what was committed.
    So a child of a process in which a connection is in use is refused.

    Attributes:
        beside_pool: tells whether a connection is open that is not the pool's.

    Args:
        engine: of a SQLite file.
    """

    beside_pool: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, engine: Engine) -> None:
        self._is_forking = False
        self._is_refused = False
        self._engine = ref(engine)
        # By entry, the pool that the engine had. Nothing here refers to connections:
        # one whose thread was interrupted is closed when it is forgotten.
        self._pools: WeakKeyDictionary[ConnectionPoolEntry, Pool | None] = (
            WeakKeyDictionary()
        )
        self._error: Any = engine.dialect.loaded_dbapi.OperationalError
        self._renew()
        # Before whatever else is done with a new connection.
        event.listen(engine.pool, "connect", self._opened, insert=True)
        event.listen(engine.pool, "checkin", self._returned)
        event.listen(engine.pool, "detach", self._detached)

    def guard_opening(self, engine: Engine) -> None:
        """Lets no process fork while a connection is opened.

        SQLite has a lock meanwhile that nobody would release in the child.
        """
        event.listen(engine, "do_connect", self._open)

    def _open(
        self,
        dialect: Dialect,
        entry: ConnectionPoolEntry,
        arguments: Any,
        parameters: dict[str, Any],
    ) -> Any:
        with self._lock:
            self._changed.wait_for(lambda: not self._is_forking)
            # Not returned here, where an interrupt would leave the lock behind.
            connection = connect_as_told(dialect, entry, arguments, parameters)
        return connection  # noqa: RET504

    def before_fork(self, engine: Engine) -> None:
        """Closes connections, and lets none be used that is opened meanwhile."""
        with self._lock:
            self._is_forking = True
        deadline = monotonic() + PATIENCE
        # Not the engine's dispose(), which has a new pool follow: a connection that is
        # just being opened would return to the old one, and nobody would close it.
        engine.pool.dispose()
        while self._has_open() and monotonic() < deadline:
            sleep(_PAUSE)
            engine.pool.dispose()

    def after_fork(self) -> None:
        """Lets connections be opened again, in the parent."""
        with self._lock:
            self._is_forking = False
            self._changed.notify_all()

    def abandon(self) -> None:
        """Starts anew in the child, or refuses to."""
        self._is_forking = False
        self._renew()  # Another thread of the parent may have held the lock.
        self._is_refused = self._is_refused or self._has_open()
        leave_to_parent(self._pools)
        self._pools = WeakKeyDictionary()

    def _renew(self) -> None:
        # Not by `with self._changed`, which is no single step of the interpreter: an
        # interrupt could leave it locked.
        self._lock = RLock()
        self._changed = Condition(self._lock)

    def _has_open(self) -> bool:
        with self._lock:
            entries = list(self._pools)
        in_pool = (each.dbapi_connection is not None for each in entries)
        return any(in_pool) or self.beside_pool()

    def _opened(self, connection: Any, entry: ConnectionPoolEntry) -> None:
        if self._is_refused:
            connection.close()
            msg = (
                "This process was forked while a connection to the SQLite file was in "
                "use, and cannot use the file safely: fork earlier, or start the "
                "process by spawn or forkserver"
            )
            raise self._error(msg)
        with self._lock:
            # It has no locks yet. The entry may have had another one before.
            self._pools.pop(entry, None)
            self._changed.wait_for(lambda: not self._is_forking)
            self._pools[entry] = self._pool()

    def _returned(self, _: Any, entry: ConnectionPoolEntry) -> None:
        before, now = self._pools.get(entry), self._pool()
        # Nobody would close what is returned to a pool that was disposed of.
        is_left_over = None not in (before, now) and before is not now
        if self._is_forking or is_left_over:
            entry.close()

    def _pool(self) -> Pool | None:
        engine = self._engine()
        return None if engine is None else engine.pool

    def _detached(self, _: Any, entry: ConnectionPoolEntry) -> None:
        with self._lock:
            self._pools.pop(entry, None)


def guard_of(engine: Engine) -> ForkGuard:
    """That of the pool, which engines may share, and which is not to get another."""
    return listening_to(engine, ForkGuard) or ForkGuard(engine)
