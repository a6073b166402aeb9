"""Databases of PostgreSQL that have no encoding of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from sqlalchemy import NullPool, create_engine, make_url

from backends import Backend, Capability
from factories import construct_factory


@pytest.fixture
def sql_ascii(backend: Backend) -> Iterator[str]:
    """The URL of another database."""
    admin = create_engine(backend.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    name = f"{admin.url.database}_ascii"
    with admin.connect() as connection:
        connection.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' "
            "TEMPLATE template0"
        )
    url = make_url(backend.url).set(database=name)
    yield url.render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name}")


@pytest.mark.needs(Capability.NOTIFY)
def test_database_in_sql_ascii(sql_ascii: str, env: dict[str, str]) -> None:
    stored = StoredEvent(uuid4(), 1, "tópico", b"state")
    env["SQLALCHEMY_URL"] = sql_ascii
    with closing(construct_factory("Application", env)) as factory:
        recorder = factory.application_recorder()
        recorder.insert_events([stored])
        assert recorder.select_events(stored.originator_id) == [stored]
