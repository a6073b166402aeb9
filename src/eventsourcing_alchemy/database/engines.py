"""Engines, shared by everything in a process that uses the same database."""

from collections.abc import Hashable
from contextlib import AbstractContextManager
from functools import lru_cache
from os import getpid
from typing import Any

from sqlalchemy import (
    Engine,
    ExceptionContext,
    Pool,
    QueuePool,
    event,
)
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from eventsourcing_alchemy.database.engine_creation import created_engine, own_engine
from eventsourcing_alchemy.database.group_commit import GroupCommit
from eventsourcing_alchemy.database.joining import watch_errors, watch_statements
from eventsourcing_alchemy.database.shared_objects import SharedObjects
from eventsourcing_alchemy.database.wakeups import RESUMED, hints
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.base.pool_listeners import listening_to
from eventsourcing_alchemy.dialects.lookup import dialect_for
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.resilience.connecting import (
    connect_as_told,
    connect_interruptibly,
    current_interruption,
)
from eventsourcing_alchemy.resilience.connection_setup import (
    SESSION_TIMEOUT,
    watch_pings,
    watch_sessions,
)
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of_driver,
)
from eventsourcing_alchemy.resilience.inheritance import Sockets, leave_to_parent
from eventsourcing_alchemy.resilience.outages import Outage
from eventsourcing_alchemy.resilience.sockets import keep_alive
from eventsourcing_alchemy.resilience.watchdog import Watchdog
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.upserts.buffered_connection import watch_buffers

KEPT_GROUP_COMMITS = 1000
"""Queues, of applications that were appended to last."""

_POOL = "eventsourcing_alchemy_pool"


class SharedEngine:
    """An engine, with what its users have in common.

    Attributes:
        engine: SQLAlchemy's.
        writer: the same, for transactions: their statements are verified.
        dialect: what to do differently on its database.
        is_private: whether the database lives in the engine's only connection.
        database: equal for engines of the same database.
        watchdog: watches over the connections.
        outage: whether the database is out of reach.
        group_commit: the queue of those who append, by what they append to.
    """

    def __init__(self, settings: Settings) -> None:
        self._is_ours = not settings.has_own_engine
        make = created_engine if self._is_ours else own_engine
        self.engine = make(settings)
        url = self.engine.url
        self.dialect: BaseDialect = dialect_for(url.get_backend_name())
        self.is_private = self.dialect.is_private(url)
        self.database: Hashable = (
            id(self.engine) if self.is_private else self.dialect.identity(url)
        )
        if settings.scoped_session_topic is None:
            self._refuse_shared_memory()
        self._is_closed = False
        self._process = getpid()
        self._sockets = _sockets_of(self.engine, self.dialect, is_ours=self._is_ours)
        self.watchdog = Watchdog(self.dialect.descriptor)
        # Without one that is forgotten in the midst of its use, its users share less.
        self.group_commit = lru_cache(KEPT_GROUP_COMMITS)(self._new_group_commit)
        self.outage = Outage(lambda: hints.wake(resumed_topic(self.database), RESUMED))
        self._ping_timeout = min(SESSION_TIMEOUT, settings.answer_timeout)
        self._forget_pings = watch_pings(self.engine.dialect, self._watching_ping)
        self.dialect.watch(self.engine)
        watch_errors(self.engine)
        self.writer = self.engine.execution_options()
        watch_buffers(self.writer)
        watch_statements(self.writer)
        if self._is_ours:
            self.dialect.configure(self.engine, settings.lock_timeout)
            if not settings.is_for_reading:
                self.dialect.prepare_to_write(self.engine, settings.lock_timeout)
            self._listen()

    def _listen(self) -> None:
        event.listen(self.engine, "connect", self._note_pool)
        event.listen(self.engine, "checkin", self._close_returned)
        event.listen(self.engine, "reset", self._reset)
        event.listen(self.engine, "handle_error", self._note_outage)
        # The first one that connects is the last, and the dialect has its own before.
        if not self.is_private:
            event.listen(self.engine, "do_connect", connect_interruptibly)
        event.listen(self.engine, "do_connect", connect_as_told)
        watch_sessions(self.engine, self._watching)

    def _refuse_shared_memory(self) -> None:
        if self.is_private and not isinstance(self.engine.pool, QueuePool):
            msg = (
                "SQLALCHEMY_ENGINE_TOPIC: threads would share the connection to an "
                "in-memory database, and roll back each other's transactions: create "
                "the engine with poolclass=QueuePool, pool_size=1, max_overflow=0"
            )
            raise ConfigurationError(msg)

    def differs_from(self, other: Engine, schema: str | None) -> bool:
        """Whether another engine leads to another database, for certain.

        Args:
            other: any engine.
            schema: that the tables are in, None for the default one.
        """
        if other.pool is self.engine.pool:
            return False
        theirs = other.url.get_backend_name()
        if type(dialect_for(theirs)) is not type(self.dialect):
            return True
        return self.dialect.is_elsewhere(self.engine.url, other.url, schema)

    def close(self) -> None:
        """Closes its connections, unless the engine is the user's own.

        Those that are in use are closed when they are returned.
        """
        self._forget_pings()
        if self._has_forked_unnoticed():
            leave_to_parent(self.engine.pool)
            return
        self.watchdog.close()
        if self._is_ours:
            self._is_closed = True
            self.dialect.close()
            self.engine.dispose()

    def _watching(self, connection: Any) -> AbstractContextManager[None]:
        descriptor = self.dialect.descriptor(connection)
        if descriptor is not None:
            keep_alive(descriptor)
        return self.watchdog.watching(
            connection, SESSION_TIMEOUT, current_interruption()
        )

    def _watching_ping(self, connection: Any) -> AbstractContextManager[None]:
        return self.watchdog.watching(
            connection, self._ping_timeout, current_interruption()
        )

    def _note_outage(self, context: ExceptionContext) -> None:
        # Also where the server stays connected, but is of no use: another one may be.
        error, statement = context.original_exception, context.statement
        if error_kind_of_driver(error, statement, self.dialect) is ErrorKind.OUTAGE:
            context.is_disconnect = True

    def _reset(
        self, connection: Any, entry: ConnectionPoolEntry | None, state: PoolResetState
    ) -> None:
        # Not by the pool, to which a connection that is lost by now is an error to
        # log, with a traceback: nothing is lost with it.
        if state.transaction_was_reset or not state.asyncio_safe:
            return
        try:
            self.engine.dialect.do_rollback(connection)
        except self.engine.dialect.loaded_dbapi.Error as error:
            if entry is not None:  # It is kept beside the pool.
                entry.invalidate(error)

    def _note_pool(self, _: Any, connection: ConnectionPoolEntry) -> None:
        connection.info[_POOL] = self.engine.pool

    def _close_returned(self, _: Any, connection: ConnectionPoolEntry) -> None:
        pool = connection.info.get(_POOL)
        # After dispose(), its pool is not the engine's, and nobody would close it.
        is_left_over = self._is_closed or pool is not self.engine.pool
        if is_left_over and pool not in _inherited:
            connection.close()

    def _new_group_commit(self, _: Hashable) -> GroupCommit[Any]:
        return GroupCommit(self.dialect)

    def before_fork(self) -> None:
        """Makes sure that a child can leave the connections to its parent."""
        self.dialect.before_fork(self.engine)

    def after_fork(self) -> None:
        """Goes on as before, in the parent process."""
        self.dialect.after_fork(self.engine)

    def _has_forked_unnoticed(self) -> bool:
        return getpid() != self._process and not self.is_private

    def refuse_unnoticed_fork(self) -> None:
        """Makes sure that this process has not been forked without Python's knowledge.

        Raises:
            ProgrammingError: if it has, and so has what its parent uses.
        """
        if self._has_forked_unnoticed():
            msg = (
                "This process would share the connections of its parent: it was forked "
                "by a program that does not call Python's fork hooks. Set lazy-apps or "
                "py-call-uwsgi-fork-hooks if that is uWSGI, or construct applications "
                "after the fork"
            )
            raise ProgrammingError(msg)

    def abandon(self) -> None:
        """Leaves the connections to the parent process, after a fork."""
        self._process = getpid()
        self.watchdog.forget()
        self.outage.forget()
        self.group_commit.cache_clear()
        self.dialect.abandon()
        if not self.is_private:
            self._sockets.let_go()
            leave_to_parent(self.engine.pool)
            _inherited.append(self.engine.pool)
            self.engine.dispose(close=False)


def _sockets_of(engine: Engine, dialect: BaseDialect, *, is_ours: bool) -> Sockets:
    """Those of the engine's pool, which is not to get more listeners each time."""
    sockets = listening_to(engine, Sockets)
    if sockets is None:
        sockets = Sockets(dialect.descriptor)
        event.listen(engine.pool, "connect", sockets.note)
        if not is_ours:  # It may be connected already.
            event.listen(engine.pool, "checkout", sockets.note)
    return sockets


def resumed_topic(database: Hashable) -> Hashable:
    """Of the hint that a database can be used again."""
    return database, "resumed"


_inherited: list[Pool] = []
"""Pools of the parent process."""

_engines = SharedObjects(
    SharedEngine.close,
    SharedEngine.abandon,
    SharedEngine.before_fork,
    SharedEngine.after_fork,
)


def acquire(settings: Settings) -> tuple[SharedEngine, Hashable]:
    """The engine for the settings, and the key with which to `release()` it.

    An in-memory database is private to who acquires it.

    Raises:
        ConfigurationError: if there cannot be such an engine.
    """
    key = _key(settings)
    return _engines.acquire(key, lambda: SharedEngine(settings)), key


def in_use() -> list[SharedEngine]:
    """The engines that this process uses now."""
    return _engines.all()


def release(key: Hashable) -> None:
    """Gives an engine back. The last one to do so closes its connections."""
    _engines.release(key)


def _key(settings: Settings) -> Hashable:
    if settings.has_own_engine:
        return settings.engine or settings.engine_topic
    dialect = dialect_for(settings.url.get_backend_name())
    if dialect.is_private(settings.url):
        return object()
    return (
        # The same relative path may be another file later.
        dialect.absolute(settings.url),
        settings.creator_topic,
        settings.lock_timeout,
        settings.is_for_reading,
        tuple(sorted(settings.engine_options.items())),
    )
