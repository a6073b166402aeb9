"""Statements on the driver's own cursor, as a user of SQLAlchemy meets them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
)
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from psycopg import ClientCursor
from sqlalchemy import bindparam, create_engine, event, inspect
from sqlalchemy.schema import CreateSchema

from backends import Backend, Capability
from behaviour.workers import DeliberateError, ids, new_events
from conversations import conversation
from eventcounters import EventCounters
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    upsert,
)
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.runners.lease import Lease
from factories import OpenFactory, construct_factory


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


@pytest.fixture
def interrupt(
    recorder: SQLAlchemyApplicationRecorder, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractContextManager[None]]:
    """Lets an exception interrupt statements, before or after their execution."""
    dialect = recorder.datastore.dialect
    cursor = dialect.cursor

    @contextmanager
    def interrupting(
        error: type[BaseException], text: str = "", *, is_executed: bool = True
    ) -> Iterator[None]:
        class Interrupted:
            def __init__(self, connection: Any) -> None:
                self._cursor = cursor(connection)

            def execute(self, *arguments: Any) -> None:
                if is_executed:
                    self._cursor.execute(*arguments)
                if text in arguments[0]:
                    raise error

            def __getattr__(self, name: str) -> Any:
                return getattr(self._cursor, name)

        with monkeypatch.context() as patch:
            patch.setattr(dialect, "cursor", Interrupted)
            yield

    return interrupting


@pytest.mark.needs(Capability.SHARED, Capability.OWN_CURSOR)
def test_interrupted_statement_leaves_no_lock(
    recorder: SQLAlchemyApplicationRecorder,
    interrupt: Callable[..., AbstractContextManager[None]],
) -> None:
    """The exception is the one that interrupted it."""
    with (
        interrupt(KeyboardInterrupt, "UPDATE es_applications"),
        pytest.raises(KeyboardInterrupt),
    ):
        recorder.insert_events(new_events())
    before = len(ids(recorder))
    assert recorder.insert_events(new_events()) == [before + 1]


@pytest.mark.needs(Capability.SHARED, Capability.OWN_CURSOR)
@pytest.mark.parametrize("is_executed", [False, True])
def test_exception_of_a_signal_handler_is_no_error_of_the_database(
    recorder: SQLAlchemyApplicationRecorder,
    interrupt: Callable[..., AbstractContextManager[None]],
    is_executed: bool,
) -> None:
    """It is raised as it is, and the connection is not used again."""
    used: list[Any] = []
    with interrupt(DeliberateError, is_executed=is_executed):
        with pytest.raises(DeliberateError):
            recorder.insert_events(new_events())
        with suppress(DeliberateError), recorder.datastore.statement() as executor:
            used.append(executor.driver_connection)
            executor.run("SELECT 1")
    with recorder.datastore.statement() as executor:
        assert executor.driver_connection is not used[0]
    before = len(ids(recorder))
    assert recorder.insert_events(new_events()) == [before + 1]


_OTHER_STYLES = {"sqlite": "named", "postgresql": "format"}


@pytest.mark.needs(Capability.SHARED)
def test_connection_of_the_caller_s_that_works_in_another_way(
    backend: Backend, recorder: SQLAlchemyApplicationRecorder
) -> None:
    """And whose listeners are the caller's, too."""
    url = normalise_url(backend.url)
    style: Any = _OTHER_STYLES.get(url.get_backend_name(), "pyformat")
    engine = create_engine(url, paramstyle=style)
    with (
        conversation(engine) as said,
        engine.begin() as connection,
        recorder.transaction(connection),
    ):
        stored = new_events(2)
        assert recorder.insert_events(stored) == [1, 2]
        assert recorder.select_events(stored[0].originator_id) == stored
        assert ids(recorder) == [1, 2]
    engine.dispose()
    assert any("INSERT INTO es_events" in each for each in said)
    assert recorder.select_events(stored[0].originator_id) == stored


@pytest.mark.needs(Capability.SHARED)
def test_engine_of_the_user_s_with_another_style_of_parameters(
    backend: Backend, env: dict[str, str], topic_of: Callable[[object], str]
) -> None:
    url = normalise_url(backend.url)
    style: Any = _OTHER_STYLES.get(url.get_backend_name(), "pyformat")
    engine = create_engine(url, paramstyle=style)
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    with closing(construct_factory("Application", env)) as factory:
        recorder = factory.application_recorder()
        for count in (1, 30):
            recorder.insert_events(new_events(count))
        assert ids(recorder) == [*range(1, 32)]
        tagged = factory.dcb_recorder()
        condition = DCBAppendCondition(DCBQuery([DCBQueryItem(tags=["100%"])]))
        event_of_tag = DCBEvent(type="%s", data=b"", tags=["100%"])
        tagged.append([event_of_tag], condition)
        with pytest.raises(IntegrityError):
            tagged.append([event_of_tag], condition)
        view = factory.tracking_recorder(EventCounters)
        view.incr_created_event_counter(Tracking("Application", 1))
        add = upsert(
            view.counters,
            {"name": bindparam("name"), "value": 1},
            set_={"value": view.counters.c.value + bindparam("by")},
        )
        view.process(Tracking("Application", 2), add, {"name": "created", "by": 3})
        with view.processing(Tracking("Application", 3)) as connection:
            connection.execute(add, {"name": "created", "by": 3})
        assert view.get_created_event_counter() == 7
        lease = Lease(factory.datastore, "view", "Application")
        assert lease.acquire()
        lease.release()
    engine.dispose()


@pytest.mark.needs(Capability.NOTIFY)
def test_session_that_was_left_in_autocommit_mode(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    engine = recorder.datastore.engine
    with engine.connect() as connection:
        driver_connection: Any = connection.connection.driver_connection
        driver_connection.autocommit = True
    with recorder.transaction():
        assert recorder.insert_events(new_events()) == [1]
    with engine.connect() as connection:
        assert connection.connection.driver_connection is not driver_connection


@pytest.mark.needs(Capability.SCHEMAS)
def test_engine_that_translates_schemas(
    backend: Backend,
    env: dict[str, str],
    open_factory: OpenFactory,
    topic_of: Callable[[object], str],
) -> None:
    engine = create_engine(normalise_url(backend.url))
    with engine.begin() as connection:
        connection.execute(CreateSchema("one"))
    translating = engine.execution_options(schema_translate_map={None: "one"})
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(translating)
    for create_table in ("yes", "no"):  # It makes the tables there, and finds them.
        env["CREATE_TABLE"] = create_table
        with closing(construct_factory("Application", env)) as factory:
            own = factory.application_recorder()
            own.insert_events(new_events())
            view = factory.tracking_recorder(EventCounters)
            view.incr_created_event_counter(Tracking("Application", len(ids(own))))
    assert "event_counters" in inspect(engine).get_table_names("one")
    assert not inspect(engine).has_table("event_counters")
    engine.dispose()
    plain = {"SQLALCHEMY_ENGINE_TOPIC": "", "SQLALCHEMY_SCHEMA": "one"}
    assert ids(open_factory(**plain).application_recorder()) == [1, 2]


def hear_nothing(*_: Any) -> None:
    """Has SQLAlchemy execute the statements."""


@pytest.mark.needs(Capability.SCHEMAS)
@pytest.mark.parametrize("is_caller_s", [True, False])
def test_connection_that_translates_schemas(
    backend: Backend, open_factory: OpenFactory, is_caller_s: bool
) -> None:
    """It is for the caller's tables: events go where they always go."""
    recorder = open_factory().application_recorder()
    others = open_factory(SQLALCHEMY_SCHEMA="tenant").application_recorder()
    engine = create_engine(normalise_url(backend.url))
    if not is_caller_s:
        event.listen(recorder.datastore.engine, "after_cursor_execute", hear_nothing)
    with engine.connect() as connection:
        bind = connection if is_caller_s else None
        with recorder.transaction(bind) as joined:
            joined.execution_options(schema_translate_map={None: "tenant"})
            assert recorder.insert_events(new_events()) == [1]
            assert ids(recorder) == [1]
        connection.commit()
    engine.dispose()
    assert ids(recorder) == [1]
    assert ids(others) == []


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


@pytest.mark.needs(Capability.NOTIFY, Capability.OWN_CURSOR)
def test_cursors_that_bind_values_themselves(
    backend: Backend, env: dict[str, str], topic_of: Callable[[object], str]
) -> None:
    """They cannot have results in binary form."""
    engine = create_engine(
        normalise_url(backend.url), connect_args={"cursor_factory": ClientCursor}
    )
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    with closing(construct_factory("Application", env)) as factory:
        recorder = factory.application_recorder()
        for count in (1, 3):
            stored = new_events(count)
            recorder.insert_events(stored)
            assert recorder.select_events(stored[0].originator_id) == stored
        assert ids(recorder) == [1, 2, 3, 4]
        assert recorder.reader.age(1) is not None
    engine.dispose()
