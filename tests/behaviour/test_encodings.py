"""Databases that have no encoding of their own, and sessions in another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from sqlalchemy import NullPool, create_engine, make_url, text

from backends import Backend, Capability
from eventsourcing_alchemy.dialects.urls import normalise_url
from factories import OpenFactory, construct_factory


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


@pytest.mark.needs(Capability.CHARACTER_SETS)
@pytest.mark.parametrize("charset", ["utf8", "latin1"])
def test_session_in_another_character_set(
    backend: Backend, open_factory: OpenFactory, charset: str
) -> None:
    """Texts are the same in a session of anybody's."""
    ids = ["🐈", "🐕"]
    url = normalise_url(backend.url)
    other = url.update_query_dict({"charset": charset})
    factory = open_factory(
        ORIGINATOR_ID_TYPE="text",
        SQLALCHEMY_URL=other.render_as_string(hide_password=False),
    )
    recorder = factory.application_recorder()
    recorder.insert_events([StoredEvent(each, 1, "topic", b"state") for each in ids])
    found = recorder.select_notifications(None, 10)
    assert [each.originator_id for each in found] == ids
    engine = create_engine(url, poolclass=NullPool)
    stored = text("SELECT originator_id FROM es_text_events ORDER BY notification_id")
    with engine.connect() as connection:
        assert list(connection.scalars(stored)) == ids
