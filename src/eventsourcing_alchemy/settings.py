"""The environment variables, read and checked."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import URL, Engine

from eventsourcing_alchemy.dialects.urls import normalise_url, with_prepare_threshold
from eventsourcing_alchemy.environments import name_in
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment, strtobool

T = TypeVar("T")

logger = logging.getLogger("eventsourcing_alchemy")

DEFAULT_URL = "sqlite:///eventsourcing.db"

_INSTEAD_OF_URL = "SQLALCHEMY_ENGINE_TOPIC", "SQLALCHEMY_SCOPED_SESSION_TOPIC"

LONGEST_DURATION = 2e6
"""Seconds; 23 days. Databases count the milliseconds of a wait in 32 bits."""


class Variables:
    """Reads variables of an environment; unset and empty ones have no value.

    Args:
        env: the environment. A name that is prefixed with the environment's own
            wins over the bare one.
    """

    def __init__(self, env: Environment) -> None:
        self.env = env

    def read(
        self, key: str, convert: Callable[[str], T], accepted: str, *, secret: bool
    ) -> T | None:
        """The converted value of a variable, or None.

        Args:
            key: the variable, without prefix.
            convert: raises `ValueError` for a value that is not accepted.
            accepted: says what is accepted.
            secret: whether the value must not be shown.

        Raises:
            ConfigurationError: names the variable, the value, what is accepted.
        """
        # Programs sometimes put a bool or a number there.
        value = str(self.env.get(key, "")).strip()
        if not value:
            return None
        try:
            return convert(value)
        except ValueError as error:
            # A value that is in the wrong place may be one.
            shown_value = "a URL" if "://" in value else repr(value)
            shown = str(error) if secret else f"{shown_value} is not {accepted}"
        # Outside of the handler: the context would show a secret.
        raise ConfigurationError(f"{name_in(self.env, key)}: {shown}")

    def text(self, key: str) -> str | None:
        """A text as it stands."""
        return self.read(key, str, "text", secret=False)

    def boolean(self, key: str) -> bool | None:
        """A truth value, spelled as the host accepts it."""
        return self.read(key, strtobool, "yes or no", secret=False)

    def integer(self, key: str, least: int) -> int | None:
        """A whole number."""
        accepted = f"a whole number, at least {least}"
        return self.read(key, _at_least(int, least), accepted, secret=False)

    def count_or_none(self, key: str) -> str | None:
        """A whole number, at least 0, or the word `none`, as it stands."""
        accepted = "a whole number, at least 0, or none"
        return self.read(key, _count_or_none, accepted, secret=False)

    def seconds(self, key: str, default: float, least: float = 1e-6) -> float:
        """A duration, above zero unless zero is the least."""
        accepted = f"a number of seconds{' above 0' if least else ', at least 0'}"
        value = self.read(key, _at_least(float, least), accepted, secret=False)
        return default if value is None else min(value, LONGEST_DURATION)

    def choice(self, key: str, *choices: str) -> str:
        """One of some words in any case; the first one is the default."""
        accepted = f"one of {', '.join(choices)}"
        value = self.read(key, _one_of(choices), accepted, secret=False)
        return value or choices[0]

    def url(self, key: str) -> URL | None:
        """A database URL, never shown because it may hold a password."""
        accepted = "a database URL such as postgresql+psycopg://user@host/db"
        return self.read(key, normalise_url, accepted, secret=True)


@dataclass(frozen=True)
class Settings:
    """How to reach a database, and how to use it.

    Attributes:
        url: the database.
        schema: the database schema of the package's tables; None for the default.
        engine_topic: the topic of an `Engine`, or of a function that returns one.
        scoped_session_topic: the topic of a `scoped_session`, of an adapter of one, or
            of a function that returns either.
        creator_topic: the topic of a function that returns connections of the driver.
        engine_options: keyword arguments for SQLAlchemy's `create_engine()`.
        lock_timeout: seconds to wait for a lock.
        answer_timeout: seconds of silence after which a connection counts as lost.
        retry_timeout: seconds in which to retry after conflicts and outages.
        subscribe: `auto`, `notify` or `poll`.
        listen_url: where to LISTEN; None for `url`.
        poll_interval: the maximum number of seconds between two looks for new events;
            None for the default.
        originator_id_type: `uuid` or `text`.
        is_for_reading: whether nothing is to be written, nor prepared for that.
        engine: the engine of the session, instead of one that `engine_topic` names.
    """

    url: URL = field(repr=False)
    schema: str | None = None
    engine_topic: str | None = None
    scoped_session_topic: str | None = None
    engine: Engine | None = field(default=None, repr=False)
    creator_topic: str | None = None
    engine_options: dict[str, Any] = field(default_factory=dict)
    lock_timeout: float = 30.0
    answer_timeout: float = 30.0
    retry_timeout: float = 10.0
    subscribe: str = "auto"
    listen_url: URL | None = field(default=None, repr=False)
    poll_interval: float | None = None
    originator_id_type: str = "uuid"
    is_for_reading: bool = False

    @property
    def has_own_engine(self) -> bool:
        """Whether the engine is the user's own."""
        return self.engine is not None or self.engine_topic is not None

    @classmethod
    def from_env(cls, env: Environment) -> "Settings":
        """Reads the settings from environment variables.

        Args:
            env: the environment of an application or projection.

        Raises:
            ConfigurationError: if a variable has a value that is not accepted.
        """
        variables = Variables(env)
        interval = variables.seconds("SQLALCHEMY_POLL_INTERVAL", 0)
        return cls(
            url=_url(variables),
            schema=variables.text("SQLALCHEMY_SCHEMA"),
            engine_topic=variables.text("SQLALCHEMY_ENGINE_TOPIC"),
            scoped_session_topic=variables.text("SQLALCHEMY_SCOPED_SESSION_TOPIC"),
            creator_topic=variables.text("SQLALCHEMY_CONNECTION_CREATOR_TOPIC"),
            engine_options=_engine_options(variables),
            lock_timeout=variables.seconds("SQLALCHEMY_LOCK_TIMEOUT", 30.0),
            answer_timeout=variables.seconds("SQLALCHEMY_ANSWER_TIMEOUT", 30.0),
            retry_timeout=variables.seconds("SQLALCHEMY_RETRY_TIMEOUT", 10.0, least=0),
            subscribe=variables.choice(
                "SQLALCHEMY_SUBSCRIBE", "auto", "notify", "poll"
            ),
            listen_url=variables.url("SQLALCHEMY_LISTEN_URL"),
            poll_interval=interval or None,
            originator_id_type=variables.choice("ORIGINATOR_ID_TYPE", "uuid", "text"),
        )


def _url(variables: Variables) -> URL:
    url = variables.url("SQLALCHEMY_URL")
    is_used = not any(map(variables.text, _INSTEAD_OF_URL))
    if url is None and is_used:
        logger.info("SQLALCHEMY_URL is not set: using %s", DEFAULT_URL)
    url = url or normalise_url(DEFAULT_URL)
    threshold = variables.count_or_none("SQLALCHEMY_PREPARE_THRESHOLD")
    if threshold is None or not is_used:
        return url
    return with_prepare_threshold(url, threshold)


def _engine_options(variables: Variables) -> dict[str, Any]:
    options = {
        "pool_size": variables.integer("SQLALCHEMY_POOL_SIZE", 1),
        "max_overflow": variables.integer("SQLALCHEMY_MAX_OVERFLOW", -1),
        "pool_timeout": variables.seconds("SQLALCHEMY_POOL_TIMEOUT", 0) or None,
        "pool_recycle": variables.integer("SQLALCHEMY_POOL_RECYCLE", -1),
        "pool_pre_ping": variables.boolean("SQLALCHEMY_POOL_PRE_PING"),
        "echo": variables.boolean("SQLALCHEMY_ECHO"),
    }
    return {name: value for name, value in options.items() if value is not None}


def _at_least(convert: Callable[[str], T], least: float) -> Callable[[str], T]:
    def converted(value: str) -> T:
        number = convert(value)
        # Not `number < least`: that would let NaN pass.
        if not least <= float(number) < float("inf"):  # type: ignore[arg-type]
            raise ValueError(value)
        return number

    return converted


def _count_or_none(value: str) -> str:
    return value if value.lower() == "none" else str(_at_least(int, 0)(value))


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def converted(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(value)
        return value.lower()

    return converted
