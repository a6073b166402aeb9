"""Databases on servers of our own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from backends import MariaDB, PostgreSQL
from leaks import Leaks


@contextmanager
def fresh_database(admin: str) -> Iterator[dict[str, str]]:
    """An empty database, which nobody may be connected to at the end of the block.

    Args:
        admin: URL of another one of the same server.

    Yields:
        The environment variables that make the host use it.
    """
    is_postgresql = make_url(admin).get_backend_name() == "postgresql"
    kind = PostgreSQL if is_postgresql else MariaDB
    database = kind("own", "", usual=admin).fresh(Path())
    leaks = Leaks(database)
    yield {
        "PERSISTENCE_MODULE": "eventsourcing_alchemy",
        "SQLALCHEMY_URL": database.url,
        # On a busy machine, a server is away for longer than writers bear by default.
        "SQLALCHEMY_RETRY_TIMEOUT": "60",
    }
    leaks.check()
    database.discard(reusable=False)
