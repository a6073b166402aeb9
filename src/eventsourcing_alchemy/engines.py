"""Engines, shared by everything in a process that uses the same database."""

from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

from eventsourcing.utils import TopicError, resolve_topic
from sqlalchemy import (
    Engine,
    ExceptionContext,
    NullPool,
    Pool,
    QueuePool,
    create_engine,
    event,
)
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry, PoolResetState

from eventsourcing_alchemy.collecting import flushing
from eventsourcing_alchemy.connecting import (
    connect_interruptibly,
    current_interruption,
)
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.lookup import dialect_for
from eventsourcing_alchemy.errors import CannotConnectError, ConfigurationError, text_of
from eventsourcing_alchemy.faults import Fault
from eventsourcing_alchemy.group_commits import GroupCommit
from eventsourcing_alchemy.hints import hints
from eventsourcing_alchemy.outages import Outage
from eventsourcing_alchemy.registry import Registry
from eventsourcing_alchemy.sessions import SESSION_TIMEOUT, watch_sessions
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.sockets import answering, keep_alive
from eventsourcing_alchemy.watchdog import Watchdog

_POOL = "eventsourcing_alchemy_pool"


class SharedEngine:
    """An engine, with what its users have in common.

    Attributes:
        engine: SQLAlchemy's.
        writer: the same, for transactions in which upserts may be collected.
        dialect: what to do differently on its database.
        is_private: whether the database lives in the engine's only connection.
        database: equal for engines of the same database.
        watchdog: watches over the connections.
        outage: whether the database is out of reach.
        group_commits: of those who append, by what they append to.
    """

    def __init__(self, settings: Settings) -> None:
        self._is_ours = settings.engine_topic is None
        self.engine = _create(settings) if self._is_ours else _resolve(settings)
        url = self.engine.url
        self.dialect: BaseDialect = dialect_for(url.get_backend_name())
        self.is_private = self.dialect.is_private(url)
        self.database: Hashable = (
            id(self.engine) if self.is_private else self.dialect.identity(url)
        )
        self._refuse_shared_memory()
        self._is_closed = False
        self._is_forking = False
        self.watchdog = Watchdog(self.dialect.descriptor)
        self.group_commits: dict[Hashable, GroupCommit] = {}
        self.outage = Outage(lambda: hints.wake(resumed_topic(self.database)))
        self.dialect.watch(self.engine)
        self.writer = flushing(self.engine)
        if self._is_ours:
            self.dialect.configure(self.engine, settings.lock_timeout)
            self._listen()

    def _listen(self) -> None:
        event.listen(self.engine, "connect", self._note_pool)
        event.listen(self.engine, "checkin", self._close_returned)
        event.listen(self.engine, "reset", self._reset)
        event.listen(self.engine, "handle_error", self._note_outage)
        if not self.is_private:
            event.listen(self.engine, "do_connect", connect_interruptibly)
        watch_sessions(self.engine, self._watching)

    def _refuse_shared_memory(self) -> None:
        if self.is_private and not isinstance(self.engine.pool, QueuePool):
            msg = (
                "SQLALCHEMY_ENGINE_TOPIC: threads would share the connection to an "
                "in-memory database, and roll back each other: create the engine with "
                "poolclass=QueuePool, pool_size=1, max_overflow=0"
            )
            raise ConfigurationError(msg)

    def close(self) -> None:
        """Closes its connections, unless the engine is the user's own.

        Those that are in use are closed when they are returned.
        """
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

    def _note_outage(self, context: ExceptionContext) -> None:
        # Also where the server stays connected, but is of no use: another one may be.
        if self.dialect.fault(context.original_exception) is Fault.OUTAGE:
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
        if (is_left_over or self._is_forking) and pool not in _inherited:
            connection.close()

    def group_commit(self, key: Hashable) -> GroupCommit:
        """The queue of those who append to the same."""
        return self.group_commits.get(key) or self.group_commits.setdefault(
            key, GroupCommit(self.dialect)
        )

    def before_fork(self) -> None:
        """Makes sure that a child can leave the connections to its parent."""
        self._is_forking = True
        self.dialect.before_fork(self.engine)

    def after_fork(self) -> None:
        """Goes on as before, in the parent process."""
        self._is_forking = False
        self.dialect.after_fork(self.engine)

    def abandon(self) -> None:
        """Leaves the connections to the parent process, after a fork."""
        self._is_forking = False
        self.watchdog.forget()
        self.outage.forget()
        self.group_commits.clear()
        self.dialect.abandon()
        if not self.is_private:
            _inherited.append(self.engine.pool)
            self.engine.dispose(close=False)


def resumed_topic(database: Hashable) -> Hashable:
    """Of the hint that a database can be used again."""
    return database, "resumed"


_inherited: list[Pool] = []
"""Pools of the parent process. Were they collected, its sessions would end."""

_engines = Registry(
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


def release(key: Hashable) -> None:
    """Gives an engine back. The last one to do so closes its connections."""
    _engines.release(key)


def for_listening(settings: Settings, engine: Engine) -> Engine:
    """An engine for the connection that listens, which needs no pool.

    An engine of the user's own is used as it is: the connection takes a place in its
    pool.
    """
    if settings.listen_url is not None:
        settings = replace(
            settings, url=settings.listen_url, engine_topic=None, creator_topic=None
        )
    return unpooled(settings, engine)


def unpooled(settings: Settings, engine: Engine) -> Engine:
    """An engine for connections now and then, unless there is one of the user's own."""
    if settings.engine_topic is not None:
        return engine
    own = _create(replace(settings, engine_options={"poolclass": NullPool}))
    descriptor = dialect_for(own.url.get_backend_name()).descriptor
    watch_sessions(
        own,
        lambda connection: answering(partial(descriptor, connection), SESSION_TIMEOUT),
    )
    return own


def _key(settings: Settings) -> Hashable:
    if settings.engine_topic is not None:
        return settings.engine_topic
    dialect = dialect_for(settings.url.get_backend_name())
    if dialect.is_private(settings.url):
        return object()
    return (
        # The same relative path may be another file later.
        dialect.absolute(settings.url),
        settings.creator_topic,
        settings.lock_timeout,
        tuple(sorted(settings.engine_options.items())),
    )


def _create(settings: Settings) -> Engine:
    dialect = dialect_for(settings.url.get_backend_name())
    options: dict[str, Any] = {
        # The parameters are the states of events.
        "hide_parameters": True,
        "pool_reset_on_return": None,  # See `SharedEngine`.
        **settings.engine_options,
        **dialect.engine_options(settings.url, settings.lock_timeout),
    }
    if settings.creator_topic is not None:
        creator = _topic("SQLALCHEMY_CONNECTION_CREATOR_TOPIC", settings.creator_topic)
        options["creator"] = partial(_call_creator, creator)
    try:
        if settings.url.get_dialect().is_async:
            msg = (
                f"SQLALCHEMY_URL: {settings.url.drivername!r} is a driver for asyncio: "
                f"expected another one"
            )
            raise ConfigurationError(msg)
        return create_engine(settings.url, **options)
    except ImportError as error:
        msg = (
            f"SQLALCHEMY_URL: the driver of {settings.url.drivername!r} cannot be "
            f"imported ({error}): install it, for instance with "
            "pip install 'eventsourcing-alchemy[binary,mysql]'"
        )
        raise ConfigurationError(msg) from error
    except (ArgumentError, TypeError):
        # Its message may quote the URL, and so may its context.
        pass
    msg = (
        f"SQLALCHEMY_URL: the form of the URL, or an option of the pool, does not fit "
        f"{settings.url.drivername!r}: see the documentation of that database's driver"
    )
    raise ConfigurationError(msg)


def _call_creator(creator: Callable[[], Any]) -> Any:
    try:
        return creator()
    except OSError as error:  # Of what it asks for a token, say.
        msg = f"The connection creator failed: {text_of(error)}"
        raise CannotConnectError(msg) from error


def _resolve(settings: Settings) -> Engine:
    variable = "SQLALCHEMY_ENGINE_TOPIC"
    resolved = _topic(variable, str(settings.engine_topic))
    engine = resolved if isinstance(resolved, Engine) else resolved()
    if not isinstance(engine, Engine):
        msg = (
            f"{variable}: {settings.engine_topic!r} is neither an Engine nor a "
            f"callable that returns one, but gives {type(engine).__name__!r}"
        )
        raise ConfigurationError(msg)
    return engine


def _topic(variable: str, topic: str) -> Any:
    try:
        resolved = resolve_topic(topic)
    except TopicError as error:
        raise ConfigurationError(f"{variable}: {error}") from error
    if not isinstance(resolved, Engine) and not callable(resolved):
        msg = f"{variable}: {topic!r} is not callable"
        raise ConfigurationError(msg)
    return resolved
