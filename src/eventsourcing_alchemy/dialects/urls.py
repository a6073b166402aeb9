"""Database URLs: which driver a URL without one means, errors without secrets."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from eventsourcing_alchemy.errors import ConfigurationError

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}

PREPARE_THRESHOLD = "prepare_threshold"
"""An option of psycopg's, as an argument and in a URL."""


def normalise_url(url: str | URL) -> URL:
    """Return the URL with the driver that the package uses where it names none.

    Args:
        url: A database URL in SQLAlchemy's form. Databases other than PostgreSQL,
            MySQL and MariaDB keep SQLAlchemy's default driver.

    Returns:
        The parsed URL. No driver has been imported.

    Raises:
        ValueError: The URL cannot be parsed, or names a database or driver for which
            no dialect is installed, or is a driver for asyncio. The message contains
            neither user nor password.
    """
    parsed = _parse(url)
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    if not _has_dialect(parsed):
        raise ValueError(
            f"no SQLAlchemy dialect is installed for {parsed.drivername!r}: expected "
            "'sqlite', 'postgresql', 'mysql', 'mariadb' or another installed one"
        )
    if parsed.get_dialect().is_async:
        raise ValueError(
            f"{parsed.drivername!r} is a driver for asyncio: use a synchronous one"
        )
    return parsed


def _parse(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # SQLAlchemy's message may quote a part of the URL, for instance a password
        # that was not percent-encoded. Raising below leaves it out of the context.
        pass
    else:
        # Otherwise a part of such a password would be in errors about the host.
        if "@" not in (parsed.host or ""):
            return parsed
    raise ValueError(
        "the database URL cannot be parsed: expected "
        "'database[+driver]://user:password@host:port/name' with special characters "
        "in the user and password percent-encoded"
    )


def _has_dialect(url: URL) -> bool:
    try:
        url.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError):
        return False
    return True


def with_prepare_threshold(url: URL, threshold: str) -> URL:
    """Return the URL with psycopg's option, unless it has one of its own.

    Args:
        url: Names the driver.
        threshold: A number, or ``none``.

    Raises:
        ConfigurationError: It is another driver, which would ignore it.
    """
    if url.get_dialect().driver != "psycopg":
        raise ConfigurationError(
            f"SQLALCHEMY_PREPARE_THRESHOLD: {url.drivername!r} has no such option, "
            "only 'postgresql+psycopg' has: unset the variable, or prefix it with "
            "the name of the application that it is for"
        )
    return url.update_query_dict({PREPARE_THRESHOLD: threshold, **url.query})


def checked_integer(url: URL, option: str, default: int | None = None) -> int | None:
    """Return the value of an option in a URL, or the default.

    Args:
        url: Of the database.
        option: Its name.
        default: What it is where the URL does not say.

    Raises:
        ConfigurationError: It is no whole number.
    """
    value = url.query.get(option, default)
    try:
        return value if value is None else int(str(value))
    except ValueError:
        raise ConfigurationError(
            f"SQLALCHEMY_URL: the option {option} does not fit: {value!r} is not a "
            "whole number"
        ) from None
