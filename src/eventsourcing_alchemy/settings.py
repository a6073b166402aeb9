"""The environment variables, read and checked."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eventsourcing.utils import Environment, strtobool
from sqlalchemy import URL

from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.errors import ConfigurationError

T = TypeVar("T")

logger = logging.getLogger("eventsourcing_alchemy")

DEFAULT_URL = "sqlite:///eventsourcing.db"

LONGEST_DURATION = 1e7
"""Seconds. Threads and databases cannot wait for ever."""


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
            shown = str(error) if secret else f"{value!r} is not {accepted}"
        # Outside of the handler: the context would show a secret.
        raise ConfigurationError(f"{self._name(key)}: {shown}")

    def _name(self, key: str) -> str:
        return next(name for name in self.env.create_keys(key) if name in self.env)

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
        accepted = "a database URL such as postgresql://user@host/database"
        return self.read(key, normalise_url, accepted, secret=True)


@dataclass(frozen=True)
class Settings:
    """How to reach a database, and how to use it.

    Attributes:
        url: the database.
        schema: the database schema of our tables, None for the default one.
        engine_topic: topic of an `Engine`, or of a callable that returns one.
        creator_topic: topic of a callable that returns DBAPI connections.
        engine_options: keyword arguments for SQLAlchemy's `create_engine()`.
        lock_timeout: seconds to wait for a lock.
        answer_timeout: seconds of silence after which a connection counts as lost.
        retry_timeout: seconds in which a conflict, or an outage, is tried to overcome.
        subscribe: `auto`, `notify` or `poll`.
        listen_url: where to LISTEN, None for `url`.
        poll_interval: seconds between polls at the most, None for the default.
        originator_id_type: `uuid` or `text`.
    """

    url: URL = field(repr=False)
    schema: str | None = None
    engine_topic: str | None = None
    creator_topic: str | None = None
    engine_options: dict[str, Any] = field(default_factory=dict)
    lock_timeout: float = 30.0
    answer_timeout: float = 30.0
    retry_timeout: float = 10.0
    subscribe: str = "auto"
    listen_url: URL | None = field(default=None, repr=False)
    poll_interval: float | None = None
    originator_id_type: str = "uuid"

    @classmethod
    def from_env(cls, env: Environment) -> "Settings":
        """Reads the settings.

        Args:
            env: the environment of an application or projection.

        Raises:
            ConfigurationError: if a variable has a value that is not accepted.
        """
        variables = Variables(env)
        interval = variables.seconds("SQLALCHEMY_POLL_INTERVAL", 0)
        url = variables.url("SQLALCHEMY_URL")
        if url is None and not variables.text("SQLALCHEMY_ENGINE_TOPIC"):
            logger.info("SQLALCHEMY_URL is not set, so it is %s", DEFAULT_URL)
        return cls(
            url=url or normalise_url(DEFAULT_URL),
            schema=variables.text("SQLALCHEMY_SCHEMA"),
            engine_topic=variables.text("SQLALCHEMY_ENGINE_TOPIC"),
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


def _one_of(choices: tuple[str, ...]) -> Callable[[str], str]:
    def converted(value: str) -> str:
        if value.lower() not in choices:
            raise ValueError(value)
        return value.lower()

    return converted
