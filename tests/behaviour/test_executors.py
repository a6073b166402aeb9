"""Statements on the driver's own cursor, as a user of SQLAlchemy meets them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent
from sqlalchemy import create_engine, event

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.dialects.urls import normalise_url
from factories import construct_factory


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


def test_log_shows_statements_and_no_states(
    recorder: SQLAlchemyApplicationRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    stored = StoredEvent(uuid4(), 1, "topic", b"confidential")
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        recorder.insert_events([stored])
        with pytest.raises(IntegrityError):
            recorder.insert_events([stored])
        assert list(recorder.select_events(stored.originator_id)) == [stored]
    assert "INSERT INTO es_events" in caplog.text
    assert "SELECT es_events" in caplog.text
    assert "confidential" not in caplog.text
    assert ids(recorder) == [1]


def test_listener_that_is_added_later(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    seen: list[str] = []

    def see(*arguments: Any) -> None:
        seen.append(arguments[2])

    recorder.insert_events(new_events())
    engine = recorder.datastore.engine
    event.listen(engine, "before_cursor_execute", see)
    try:
        recorder.insert_events(new_events(2))
        assert any("INSERT INTO es_events" in statement for statement in seen)
    finally:
        event.remove(engine, "before_cursor_execute", see)
    seen.clear()
    assert recorder.insert_events(new_events()) == [4]
    assert ids(recorder) == [1, 2, 3, 4]
    assert seen == []


def test_interrupted_statement_leaves_no_lock(
    recorder: SQLAlchemyApplicationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exception is the one that interrupted it."""
    dialect = recorder.datastore.dialect
    cursor = dialect.cursor

    class Interrupted:
        def __init__(self, connection: Any) -> None:
            self._cursor = cursor(connection)

        def execute(self, *arguments: Any) -> None:
            self._cursor.execute(*arguments)
            if "UPDATE es_applications" in arguments[0]:
                raise KeyboardInterrupt

        def __getattr__(self, name: str) -> Any:
            return getattr(self._cursor, name)

    if recorder.datastore.group_commit(None) is None:
        pytest.skip("SQLAlchemy closes a connection, and with it the database")
    with monkeypatch.context() as patch:
        patch.setattr(dialect, "cursor", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            recorder.insert_events(new_events())
    before = len(ids(recorder))
    assert recorder.insert_events(new_events()) == [before + 1]


@pytest.mark.needs(Capability.SERVER)
@pytest.mark.parametrize("isolation_level", ["AUTOCOMMIT", "SERIALIZABLE", None])
def test_engine_of_the_user_s_with_a_session_that_a_listener_has_begun(
    backend: Backend,
    env: dict[str, str],
    recorder: SQLAlchemyApplicationRecorder,
    topic_of: Callable[[object], str],
    isolation_level: Any,
) -> None:
    """What is appended is committed, however the driver has been left."""
    options = {"isolation_level": isolation_level} if isolation_level else {}
    engine = create_engine(normalise_url(backend.url), **options)

    @event.listens_for(engine, "checkout")
    def begin(dbapi_connection: Any, *_: Any) -> None:
        with closing(dbapi_connection.cursor()) as cursor:
            cursor.execute("SELECT 1")

    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    with closing(construct_factory("Application", env)) as factory:
        own = factory.application_recorder()
        if isolation_level != "AUTOCOMMIT":
            with own.transaction():
                own.insert_events(new_events())
        if isolation_level != "AUTOCOMMIT" or "postgresql" in backend.url:
            own.insert_events(new_events())
            assert own.max_notification_id() == len(ids(recorder)) > 0
    engine.dispose()


@pytest.mark.needs(Capability.SCHEMAS)
@pytest.mark.parametrize("encoding", ["latin1", "utf8", "win1252"])
def test_texts_in_the_encoding_of_the_session(
    env: dict[str, str],
    recorder: SQLAlchemyApplicationRecorder,
    backend: Backend,
    encoding: str,
) -> None:
    separator = "&" if "?" in backend.url else "?"
    env["SQLALCHEMY_URL"] = f"{backend.url}{separator}client_encoding={encoding}"
    stored = StoredEvent(uuid4(), 1, "tópico", b"")
    with closing(construct_factory("Application", env)) as factory:
        factory.application_recorder().insert_events([stored])
    assert list(recorder.select_events(stored.originator_id)) == [stored]
