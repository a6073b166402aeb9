"""Making engines, from settings or by the user's own code."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from sqlalchemy import (
    Engine,
    NullPool,
    SingletonThreadPool,
    StaticPool,
    create_engine,
    event,
)
from sqlalchemy.exc import ArgumentError

from eventsourcing_alchemy.dialects.lookup import dialect_for
from eventsourcing_alchemy.errors import (
    CannotConnectError,
    ConfigurationError,
    missing_driver,
    text_of,
)
from eventsourcing_alchemy.host import TopicError, resolve_topic
from eventsourcing_alchemy.resilience.connecting import connect_as_told
from eventsourcing_alchemy.resilience.connection_setup import (
    SESSION_TIMEOUT,
    watch_sessions,
)
from eventsourcing_alchemy.resilience.sockets import answering
from eventsourcing_alchemy.settings import Settings

SHORTEST_LABELS = 30
"""Characters that the names of columns need in results; SQLAlchemy keeps 6 of them."""


def created_engine(settings: Settings) -> Engine:
    """An engine of ours.

    Raises:
        ConfigurationError: if there cannot be one.
    """
    options: dict[str, Any] = {
        # The parameters are the states of events.
        "hide_parameters": True,
        "pool_reset_on_return": None,  # See `SharedEngine`.
        **settings.engine_options,
    }
    if settings.creator_topic is not None:
        creator = _topic("SQLALCHEMY_CONNECTION_CREATOR_TOPIC", settings.creator_topic)
        options["creator"] = partial(_call_creator, creator)
    try:
        dialect = dialect_for(settings.url.get_backend_name())
        dialect.refuse_url(settings.url, settings.schema)
        options |= dialect.engine_options(settings.url, settings.lock_timeout)
        return create_engine(dialect.absolute(settings.url), **options)
    except ImportError as error:
        raise missing_driver(settings.url.drivername, error) from error
    except (ArgumentError, TypeError, ValueError):
        # Its message may quote the URL, and so may its context.
        pass
    msg = (
        f"SQLALCHEMY_URL: {settings.url.drivername!r} does not accept the form of the "
        "URL, an option in it, or an option of the pool: see the documentation of "
        "the driver"
    )
    raise ConfigurationError(msg)


def _call_creator(creator: Callable[[], Any]) -> Any:
    try:
        return creator()
    except OSError as error:  # Of what it asks for a token, say.
        msg = f"The connection creator failed: {text_of(error)}"
        raise CannotConnectError(msg) from error


def own_engine(settings: Settings) -> Engine:
    """The user's own engine.

    Raises:
        ConfigurationError: if there is none, or one whose pool shares a connection.
    """
    engine = settings.engine or _engine_of_topic(str(settings.engine_topic))
    _refuse_asyncio(engine)
    _refuse_short_labels(engine)
    if settings.scoped_session_topic is None:
        _refuse_shared_connections(engine)
    return engine


def for_listening(settings: Settings, engine: Engine) -> Engine:
    """An engine for the connection that listens, which needs no pool."""
    if settings.listen_url is not None:
        settings = replace(
            settings,
            url=settings.listen_url,
            engine_topic=None,
            engine=None,
            creator_topic=None,
        )
    return unpooled(settings, engine)


def unpooled(settings: Settings, engine: Engine) -> Engine:
    """An engine for connections now and then, which are not shared with anybody.

    That of the user's own gets another pool of the same kind, to be disposed of.
    """
    if settings.has_own_engine:
        return Engine(
            engine.pool.recreate(), engine.dialect, engine.url, hide_parameters=True
        )
    own = created_engine(replace(settings, engine_options={"poolclass": NullPool}))
    event.listen(own, "do_connect", connect_as_told)
    descriptor = dialect_for(own.url.get_backend_name()).descriptor
    watch_sessions(
        own,
        lambda connection: answering(partial(descriptor, connection), SESSION_TIMEOUT),
    )
    return own


def _engine_of_topic(topic: str) -> Engine:
    variable = "SQLALCHEMY_ENGINE_TOPIC"
    resolved = _topic(variable, topic)
    engine = resolved if isinstance(resolved, Engine) else resolved()
    if not isinstance(engine, Engine):
        msg = (
            f"{variable}: {topic!r} is neither an Engine nor a function that returns "
            f"one: it gives {type(engine).__name__!r}"
        )
        raise ConfigurationError(msg)
    return engine


def _refuse_asyncio(engine: Engine) -> None:
    if engine.dialect.is_async:
        msg = (
            f"Your engine has a driver for asyncio, {engine.url.drivername!r}: create "
            "it with a synchronous one"
        )
        raise ConfigurationError(msg)


def _refuse_short_labels(engine: Engine) -> None:
    length = engine.dialect.label_length or engine.dialect.max_identifier_length
    if length < SHORTEST_LABELS:
        msg = (
            f"Your engine cuts labels to {length} characters, so names of columns "
            f"would not be found: create it with label_length={SHORTEST_LABELS} or more"
        )
        raise ConfigurationError(msg)


def _refuse_shared_connections(engine: Engine) -> None:
    is_private = dialect_for(engine.url.get_backend_name()).is_private(engine.url)
    if isinstance(engine.pool, StaticPool | SingletonThreadPool) and not is_private:
        msg = (
            f"The {type(engine.pool).__name__} of your engine hands out a connection "
            "that is already in use, so transactions would end each other: create "
            "the engine with another poolclass, such as QueuePool or NullPool"
        )
        raise ConfigurationError(msg)


def _topic(variable: str, topic: str) -> Any:
    try:
        resolved = resolve_topic(topic)
    except TopicError as error:
        raise ConfigurationError(f"{variable}: {error}") from error
    if not isinstance(resolved, Engine) and not callable(resolved):
        msg = f"{variable}: {topic!r} is not callable"
        raise ConfigurationError(msg)
    return resolved
