"""Database URLs: which driver a URL without one means, errors without secrets."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}


def normalise_url(url: str | URL) -> URL:
    """Return the URL with the driver that the package uses where it names none.

    Args:
        url: A database URL in SQLAlchemy's form. Databases other than PostgreSQL,
            MySQL and MariaDB keep SQLAlchemy's default driver.

    Returns:
        The parsed URL. No driver has been imported.

    Raises:
        ValueError: The URL cannot be parsed, or names a database or driver for which
            no dialect is installed. The message contains neither user nor password.
    """
    parsed = _parse(url)
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    if not _has_dialect(parsed):
        raise ValueError(
            f"no SQLAlchemy dialect is installed for {parsed.drivername!r}: expected "
            "'sqlite', 'postgresql', 'mysql', 'mariadb' or another installed one"
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
