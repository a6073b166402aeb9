"""Configuration: what each variable does, and what is said to values that are wrong."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import (
    ConnectionUnavailableError,
    DatabaseError,
    DataError,
    InfrastructureFactory,
    InfrastructureFactoryError,
    IntegrityError,
    OperationalError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing.utils import Environment
from sqlalchemy import (
    Engine,
    Pool,
    QueuePool,
    SingletonThreadPool,
    StaticPool,
    create_engine,
    literal,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventcounters import EventCounters
from eventsourcing_alchemy import (
    Settings,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
)
from eventsourcing_alchemy.dialects.lookup import dialect_for
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from factories import OpenFactory, construct_factory

pytestmark = pytest.mark.empty

TopicOf = Callable[[object], str]

SECRET = "sesame-4711"  # noqa: S105


@pytest.mark.parametrize(
    ("variable", "value", "accepted"),
    [
        ("SQLALCHEMY_POOL_SIZE", "many", "a whole number, at least 1"),
        ("SQLALCHEMY_POOL_SIZE", "0", "a whole number, at least 1"),
        ("SQLALCHEMY_MAX_OVERFLOW", "1.5", "a whole number, at least -1"),
        ("SQLALCHEMY_POOL_TIMEOUT", "soon", "a number of seconds above 0"),
        ("SQLALCHEMY_POOL_RECYCLE", "x", "a whole number, at least -1"),
        ("SQLALCHEMY_POOL_PRE_PING", "maybe", "yes or no"),
        ("SQLALCHEMY_ECHO", "loudly", "yes or no"),
        ("SQLALCHEMY_LOCK_TIMEOUT", "-1", "a number of seconds above 0"),
        ("SQLALCHEMY_LOCK_TIMEOUT", "nan", "a number of seconds above 0"),
        ("SQLALCHEMY_SUBSCRIBE", "push", "one of auto, notify, poll"),
        ("SQLALCHEMY_POLL_INTERVAL", "0", "a number of seconds above 0"),
        ("ORIGINATOR_ID_TYPE", "int", "one of uuid, text"),
    ],
)
@pytest.mark.parametrize("prefix", ["", "ORDERS_"])
def test_wrong_values(variable: str, value: str, accepted: str, prefix: str) -> None:
    env = Environment("Orders", {prefix + variable: value})
    with pytest.raises(ConfigurationError) as failure:
        SQLAlchemyFactory(env)
    assert str(failure.value) == f"{prefix}{variable}: {value!r} is not {accepted}"
    assert isinstance(failure.value, InfrastructureFactoryError)
    assert isinstance(failure.value, OSError)


def test_wrong_value_of_create_table() -> None:
    with closing(SQLAlchemyFactory({"SQLALCHEMY_URL": "sqlite://"})) as factory:
        factory.env["CREATE_TABLE"] = "perhaps"
        with pytest.raises(ConfigurationError, match="CREATE_TABLE: 'perhaps'"):
            factory.application_recorder()


def test_empty_values_are_defaults(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"SQLALCHEMY_URL": "", "SQLALCHEMY_POOL_SIZE": " ", "CREATE_TABLE": ""}
    with closing(SQLAlchemyFactory(env)) as factory:
        factory.application_recorder()
    assert (tmp_path / "eventsourcing.db").exists()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("not a url", "cannot be parsed"),
        (f"postgresql//u:{SECRET}@host/db", "cannot be parsed"),
        (f"postgresql://u:{SECRET}@host:port/db", "cannot be parsed"),
        (f"postgres://u:{SECRET}@host/db", "no SQLAlchemy dialect"),
        (f"nonesuch://u:{SECRET}@host/db", "no SQLAlchemy dialect"),
        (f"postgresql+nonesuch://u:{SECRET}@host/db", "no SQLAlchemy dialect"),
        (f"sqlite://u:{SECRET}@host/db", "does not accept"),
        (f"mssql+pyodbc://u:{SECRET}@host/db", r"pyodbc.*install it"),
    ],
)
def test_wrong_urls(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as failure:
        SQLAlchemyFactory({"SQLALCHEMY_URL": url})
    assert str(failure.value).startswith("SQLALCHEMY_URL: ")
    assert SECRET not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"postgresql://u:p@{SECRET}@host/db", "percent-encoded"),
        ("postgresql+asyncpg://u@host/db", "a driver for asyncio"),
        ("sqlite+aiosqlite:///db", "a driver for asyncio"),
        ("mariadb://root@127.0.0.1", "names no database: expected 'mariadb.pymysql:"),
    ],
)
def test_urls_that_would_fail_later(url: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem) as failure:
        SQLAlchemyFactory({"SQLALCHEMY_URL": url})
    assert SECRET not in "".join(traceback.format_exception(failure.value))


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://root:{}@127.0.0.1:1/db?connect_timeout=abc",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?connect_timeout=1&connect_timeout=2",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?nonesuch=1",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?named_pipe=true",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?use_unicode=0",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?ssl_ca=/nonesuch",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?connect_timeout=2.5",
        "mysql+pymysql://root:{}@127.0.0.1:1/db?charset=nonesuch",
        "postgresql+psycopg://u:{}@127.0.0.1:1/db?connect_timeout=abc",
        "postgresql+psycopg://u:{}@127.0.0.1:1/db?connect_timeout=2.5",
        "postgresql+psycopg://u:{}@127.0.0.1:1/db?keepalives=abc",
        "postgresql+psycopg://u:{}@127.0.0.1:1/db?prepare_threshold=abc",
    ],
)
def test_options_of_urls_that_do_not_fit(url: str) -> None:
    with (
        pytest.raises(
            ConfigurationError, match=r"option.* does not fit|does not accept"
        ) as e,
        closing(SQLAlchemyFactory({"SQLALCHEMY_URL": url.format(SECRET)})) as factory,
    ):
        factory.application_recorder()
    assert SECRET not in "".join(traceback.format_exception(e.value))


@pytest.mark.needs(Capability.PREPARED_PLANS)
@pytest.mark.parametrize(("value", "threshold"), [("none", None), ("0", 0)])
def test_statements_are_prepared_as_told(
    backend: Backend, open_factory: OpenFactory, value: str, threshold: int | None
) -> None:
    url = f"{backend.url}?prepare_threshold={value}"
    recorder = open_factory(SQLALCHEMY_URL=url).application_recorder()
    recorder.insert_events(new_events(3))
    with recorder.datastore.statement() as executor:
        assert executor.driver_connection.prepare_threshold == threshold


@pytest.mark.needs(Capability.PREPARED_PLANS)
@pytest.mark.parametrize(
    ("variable", "query", "threshold"),
    [("None", "", None), ("0", "", 0), ("none", "?prepare_threshold=7", 7)],
)
def test_a_variable_says_when_statements_are_prepared(
    backend: Backend,
    open_factory: OpenFactory,
    variable: str,
    query: str,
    threshold: int | None,
) -> None:
    env = {
        "SQLALCHEMY_URL": f"{backend.url}{query}",
        "SQLALCHEMY_PREPARE_THRESHOLD": variable,
    }
    datastore = open_factory(**env).application_recorder().datastore
    with datastore.statement() as executor:
        assert executor.driver_connection.prepare_threshold == threshold


@pytest.mark.needs(Capability.PREPARED_PLANS)
@pytest.mark.parametrize("option", ["sslmode=abc", "nonesuch=1"])
def test_options_that_nobody_understands_are_not_tried_again(
    backend: Backend, option: str
) -> None:
    engine = create_engine(f"{backend.url}?{option}")
    with pytest.raises(DBAPIError) as failure:
        engine.connect()
    kind = error_kind_of(failure.value, dialect_for(engine.name))
    assert kind in {ErrorKind.REFUSED, ErrorKind.LASTING}


@pytest.mark.needs(Capability.PREPARED_PLANS)
def test_option_that_changes_answers(
    backend: Backend, open_factory: OpenFactory
) -> None:
    url = f"{backend.url}?row_factory=x"
    with pytest.raises(ConfigurationError, match="check the options in the URL"):
        open_factory(SQLALCHEMY_URL=url).application_recorder()


@pytest.mark.parametrize("value", ["-1", "2.5", "never"])
def test_values_that_are_no_threshold(value: str) -> None:
    accepted = "PREPARE_THRESHOLD: .* is not a whole number, at least 0, or none"
    with pytest.raises(ConfigurationError, match=accepted):
        SQLAlchemyFactory({"SQLALCHEMY_PREPARE_THRESHOLD": value})


def test_a_threshold_for_a_driver_that_has_none() -> None:
    env = {
        "SQLALCHEMY_URL": "mysql+pymysql://host/db",
        "SQLALCHEMY_PREPARE_THRESHOLD": "none",
    }
    with pytest.raises(
        ConfigurationError, match=r"'mysql\+pymysql' has no such option"
    ):
        SQLAlchemyFactory(env)
    # An engine of the user's own has options of its own.
    own = Environment(env={**env, "SQLALCHEMY_ENGINE_TOPIC": "own:engine"})
    assert Settings.from_env(own).engine_topic == "own:engine"


def test_a_url_in_the_wrong_variable_is_not_shown() -> None:
    env = {"SQLALCHEMY_POOL_SIZE": f"postgresql://u:{SECRET}@host/db"}
    with pytest.raises(ConfigurationError, match="POOL_SIZE: a URL is not") as failure:
        SQLAlchemyFactory(env)
    assert SECRET not in "".join(traceback.format_exception(failure.value))


def test_values_that_are_no_texts() -> None:
    env: dict[str, Any] = {"SQLALCHEMY_URL": "sqlite://", "CREATE_TABLE": True}
    env["SQLALCHEMY_LOCK_TIMEOUT"] = 1e10
    with closing(SQLAlchemyFactory(env)) as opened:
        assert opened.application_recorder().insert_events(new_events()) == [1]


def test_longest_wait_for_a_lock(open_factory: OpenFactory) -> None:
    """A database takes so long a time for what it is."""
    recorder = open_factory(SQLALCHEMY_LOCK_TIMEOUT="1e10").application_recorder()
    assert recorder.insert_events(new_events()) == [1]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same path is another file in another directory."""
    with ExitStack() as stack:
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            monkeypatch.chdir(tmp_path / str(number))
            factory = stack.enter_context(closing(SQLAlchemyFactory({})))
            recorder = factory.application_recorder()
            assert recorder.insert_events(new_events()) == [1]


@pytest.mark.parametrize(
    "path",
    [
        "shop.db",
        "file:shop.db?uri=true",
        "file:a%2520%2523.db?uri=true&mode=rwc",
        "file:shop.db%3Fmode=rwc?uri=true",
    ],
)
def test_relative_path_when_the_process_changes_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    variables = {"SQLALCHEMY_URL": f"sqlite:///{path}"}
    with closing(SQLAlchemyFactory(variables)) as factory:
        recorder = factory.application_recorder()
        recorder.insert_events(new_events())
        (tmp_path / "other").mkdir()
        monkeypatch.chdir(tmp_path / "other")
        with recorder.transaction():
            assert recorder.insert_events(new_events()) == [2]
        assert recorder.insert_events(new_events()) == [3]
        with recorder.reading(), ThreadPoolExecutor(1) as threads:
            assert threads.submit(ids, recorder).result() == [1, 2, 3]
        assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("one", "other", "are_same"),
    [
        ("shop%3F1.db", "shop%3F2.db", False),
        ("file:shop.db", "shop.db", False),
        ("file:shop.db?uri=true&mode=rwc", "shop.db", True),
        ("file:a%2520b.db?uri=true", "a%20b.db", True),
        ("file://localhost{folder}/shop.db?uri=true", "{folder}/shop.db", True),
        ("a:memory:.db", "shop.db", False),
    ],
)
def test_files_are_told_apart_as_sqlite_does(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one: str,
    other: str,
    are_same: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = [f"sqlite:///{each.format(folder=tmp_path)}" for each in (one, other)]
    with ExitStack() as stack:
        factories = [
            stack.enter_context(closing(SQLAlchemyFactory({"SQLALCHEMY_URL": url})))
            for url in urls
        ]
        recorders = [each.application_recorder() for each in factories]
        recorders[0].insert_events(new_events())
        assert [ids(each) for each in recorders] == [[1], [1] if are_same else []]


def test_in_memory_engine_that_threads_share(topic_of: TopicOf) -> None:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with pytest.raises(ConfigurationError, match="poolclass=QueuePool"):
        SQLAlchemyFactory({"SQLALCHEMY_ENGINE_TOPIC": topic_of(engine)})
    engine.dispose()


def test_engine_for_asyncio(tmp_path: Path, topic_of: TopicOf) -> None:
    engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'a.db'}").sync_engine
    with pytest.raises(ConfigurationError, match=r"'sqlite\+aiosqlite': create"):
        SQLAlchemyFactory({"SQLALCHEMY_ENGINE_TOPIC": topic_of(engine)})


def test_engine_that_cuts_labels(tmp_path: Path, topic_of: TopicOf) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'a.db'}", label_length=20)
    with pytest.raises(ConfigurationError, match="label_length=30 or more"):
        SQLAlchemyFactory({"SQLALCHEMY_ENGINE_TOPIC": topic_of(engine)})


@pytest.mark.parametrize("poolclass", [StaticPool, SingletonThreadPool])
def test_engine_that_lends_a_connection_twice(
    topic_of: TopicOf, poolclass: type[Pool]
) -> None:
    engine = create_engine("postgresql+psycopg://localhost/db", poolclass=poolclass)
    with pytest.raises(ConfigurationError, match=poolclass.__name__):
        SQLAlchemyFactory({"SQLALCHEMY_ENGINE_TOPIC": topic_of(engine)})


@pytest.mark.needs(Capability.SERVER)
def test_own_engine_that_is_opened_again(
    backend: Backend, open_factory: OpenFactory, topic_of: TopicOf
) -> None:
    """What listens to it does not become more."""
    engine = create_engine(backend.url)
    topic = topic_of(engine)
    counts = []
    for _ in range(3):
        factory = open_factory(SQLALCHEMY_ENGINE_TOPIC=topic)
        assert factory.application_recorder().insert_events(new_events())
        counts.append(count_listeners(engine))
        factory.close()
    engine.dispose()
    assert counts == counts[:1] * 3


def count_listeners(engine: Engine) -> int:
    ends: list[Any] = [engine, engine.pool, engine.dialect]
    registries = [each.dispatch for each in ends]
    return sum(
        len(list(getattr(registry, name)))
        for registry in registries
        for name in registry._event_names
    )


def test_missing_driver_of_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigurationError, match="extras 'binary'"):
        SQLAlchemyFactory({"SQLALCHEMY_URL": "postgresql://localhost/db"})


@pytest.mark.parametrize("backend_name", ["postgresql", "mariadb"])
def test_unreachable_server(
    backend_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"{backend_name}://user:{SECRET}@127.0.0.1:1/db"
    env = {"SQLALCHEMY_URL": url, "SQLALCHEMY_RETRY_TIMEOUT": "0.5"}
    with closing(SQLAlchemyFactory(env)) as factory:
        with pytest.raises(OperationalError) as failure:
            factory.application_recorder()
        shown = "".join(traceback.format_exception(failure.value))
        shown += caplog.text + repr(factory.datastore) + repr(factory.datastore.engine)
        shown += repr(factory.datastore.settings)
    assert SECRET not in shown
    assert "127.0.0.1" in str(failure.value)


def test_passwords_are_used_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of the URL is taken for a variable."""
    monkeypatch.setenv("HOME", "expanded")
    url = "postgresql://user:${HOME}%25$HOME@127.0.0.1/db"
    with closing(SQLAlchemyFactory({"SQLALCHEMY_URL": url})) as factory:
        assert factory.datastore.engine.url.password == "${HOME}%$HOME"  # noqa: S105


@pytest.mark.needs(Capability.SHARED)
def test_missing_tables(open_factory: OpenFactory) -> None:
    factory = open_factory(CREATE_TABLE="no")
    for construct in (
        factory.application_recorder,
        factory.aggregate_recorder,
        factory.tracking_recorder,
        factory.process_recorder,
    ):
        with pytest.raises(ProgrammingError, match="alembic upgrade head"):
            construct()
    open_factory().application_recorder()
    assert factory.application_recorder().insert_events(new_events()) == [1]


@pytest.mark.needs(Capability.SHARED)
def test_tables_of_views_are_created_by_others(
    open_factory: OpenFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eventsourcing_alchemy")
    factory = open_factory(CREATE_VIEW_TABLE="no")
    assert factory.application_recorder().insert_events(new_events()) == [1]
    with pytest.raises(ProgrammingError, match="lacks event_counters"):
        factory.tracking_recorder(EventCounters)
    assert not caplog.messages
    open_factory().tracking_recorder(EventCounters)
    (said,) = caplog.messages
    assert "set CREATE_VIEW_TABLE=no if you have one" in said
    factory.tracking_recorder(EventCounters)


@pytest.mark.needs(Capability.SHARED)
def test_outdated_tables(open_factory: OpenFactory) -> None:
    recorder = open_factory().application_recorder()
    with recorder.datastore.engine.begin() as connection:
        connection.execute(text("DROP TABLE es_tracking"))
    with pytest.raises(ProgrammingError, match="lacks es_tracking, and"):
        open_factory(CREATE_TABLE="no").application_recorder()


@pytest.mark.needs(Capability.SCHEMAS)
def test_schemas_are_isolated(open_factory: OpenFactory) -> None:
    recorders = [
        open_factory(SQLALCHEMY_SCHEMA=schema).application_recorder()
        for schema in ("", "one", 'T"wo; %(x)s')
    ]
    for number, recorder in enumerate(recorders, 1):
        recorder.insert_events(new_events(number))
    for number, recorder in enumerate(recorders, 1):
        assert len(ids(recorder)) == number
        with recorder.subscribe() as subscription:
            assert next(subscription).id == 1


@pytest.mark.needs(Capability.SCHEMAS)
def test_schemas_in_one_transaction(open_factory: OpenFactory) -> None:
    one, two = (
        open_factory(SQLALCHEMY_SCHEMA=schema).process_recorder()
        for schema in ("one", "two")
    )
    with one.transaction():
        one.insert_events(new_events(2), Tracking("upstream", 1))
        assert two.insert_events(new_events(), Tracking("upstream", 1)) == [1]
    assert (ids(one), ids(two)) == ([1, 2], [1])


def test_wrong_ids(open_factory: OpenFactory) -> None:
    by_uuid = open_factory().application_recorder()
    by_text = open_factory(ORIGINATOR_ID_TYPE="text").application_recorder()
    wrong: list[tuple[SQLAlchemyApplicationRecorder, UUID | str, str]] = [
        (by_uuid, "id-1", "set ORIGINATOR_ID_TYPE=text"),
        (by_text, uuid4(), "set ORIGINATOR_ID_TYPE=uuid"),
        (by_text, "x" * 256, "has 256 characters: at most 255 fit"),
        (by_text, "a\0b", "contains NUL"),
    ]
    for recorder, originator_id, problem in wrong:
        with pytest.raises(DataError, match=problem):
            recorder.insert_events([StoredEvent(originator_id, 1, "topic", b"")])
        with pytest.raises(DataError, match=problem):
            recorder.select_events(originator_id)
        assert recorder.max_notification_id() is None


def test_uuids_are_read_by_their_text(factory: SQLAlchemyFactory) -> None:
    originator_id = uuid4()
    event = StoredEvent(originator_id, 1, "topic", b"")
    for recorder in factory.application_recorder(), factory.aggregate_recorder():
        recorder.insert_events([event])
        for spelling in str(originator_id), originator_id.hex.upper():
            assert recorder.select_events(spelling) == [event]
        assert recorder.select_events(str(uuid4())) == []
        again = replace(event, originator_id=str(originator_id))
        with pytest.raises(DataError, match="set ORIGINATOR_ID_TYPE=text"):
            recorder.insert_events([again])


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        (StoredEvent(uuid4(), 1, "t" * 1025, b""), "topic .* has 1025 characters"),
        (StoredEvent(uuid4(), 1, "t\0", b""), "contains NUL"),
        (StoredEvent(uuid4(), 2**63, "topic", b""), f"to {2**63 - 1}"),
        (StoredEvent(uuid4(), -(2**63), "topic", b""), f"from {1 - 2**63}"),
        (StoredEvent(uuid4(), 1.5, "topic", b""), "not a whole number"),  # type: ignore[arg-type]
        (StoredEvent(uuid4(), 1, "\ud83d", b""), "half of a surrogate pair"),
        (StoredEvent(uuid4(), 1, None, b""), "topic None is a NoneType"),  # type: ignore[arg-type]
        (StoredEvent(uuid4(), 1, "topic", None), "is a NoneType: expected bytes"),  # type: ignore[arg-type]
        (StoredEvent(uuid4(), 1, "topic", "text"), "is a str: expected bytes"),  # type: ignore[arg-type]
        (StoredEvent(7, 1, "topic", b""), "but UUID is stored: convert the ID"),  # type: ignore[arg-type]
    ],
)
def test_wrong_events(
    factory: SQLAlchemyFactory, event: StoredEvent, problem: str
) -> None:
    recorder = factory.application_recorder()
    with pytest.raises(DataError, match=problem):
        recorder.insert_events([*new_events(), event])
    assert recorder.insert_events(new_events()) == [1]


def test_states_are_not_in_errors(
    factory: SQLAlchemyFactory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    recorder = factory.application_recorder()
    event = StoredEvent(uuid4(), 1, "topic", SECRET.encode())
    recorder.insert_events([event])
    with pytest.raises(IntegrityError) as failure:
        recorder.insert_events([event])
    shown = "".join(traceback.format_exception(failure.value)) + caplog.text
    assert SECRET not in shown


@pytest.mark.needs(Capability.SERVER)
def test_states_are_not_in_errors_of_constraints(factory: SQLAlchemyFactory) -> None:
    recorder = factory.application_recorder()
    check = "ALTER TABLE es_events ADD CONSTRAINT no_such CHECK (topic <> 'no')"
    with recorder.datastore.engine.begin() as connection:
        connection.execute(text(check))
    event = StoredEvent(uuid4(), 1, "no", SECRET.encode())
    for events in [event], [*new_events(), event]:
        with pytest.raises(DatabaseError, match="no_such") as failure:
            recorder.insert_events(events)
        shown = "".join(traceback.format_exception(failure.value))
        assert SECRET not in shown
        assert SECRET.encode().hex() not in shown


@pytest.mark.parametrize("driver", ["mysql+cymysql", "mariadb+pyodbc"])
def test_drivers_that_are_not_tested(driver: str) -> None:
    env = {
        "PERSISTENCE_MODULE": "eventsourcing_alchemy",
        "SQLALCHEMY_URL": f"{driver}://user:sesame@127.0.0.1/test",
    }
    with pytest.raises(ConfigurationError, match="is not supported: ") as refused:
        construct_factory("Application", env)
    assert "+pymysql" in str(refused.value)
    assert "sesame" not in str(refused.value)


def test_wrong_names(env: dict[str, str]) -> None:
    for name, problem in ("n" * 256, "256 characters"), ("a\0b", "contains NUL"):
        with (
            closing(construct_factory(name, env)) as factory,
            pytest.raises(DataError, match=problem),
        ):
            factory.application_recorder()


def test_wrong_name_of_a_tracked_application(factory: SQLAlchemyFactory) -> None:
    recorder = factory.tracking_recorder()
    with pytest.raises(DataError, match="256 characters: at most 255 fit"):
        recorder.insert_tracking(Tracking("n" * 256, 1))


def test_negative_limits(factory: SQLAlchemyFactory) -> None:
    recorder = factory.application_recorder()
    with pytest.raises(ProgrammingError, match="limit is -1: expected 0 or more"):
        recorder.select_notifications(None, -1)
    with pytest.raises(ProgrammingError, match="limit is -1: expected 0 or more"):
        recorder.select_events(uuid4(), limit=-1)
    recorder.insert_events(new_events())
    assert recorder.select_notifications(None, 0) == []
    assert recorder.select_notifications(2**63 - 1, 10) == []


@pytest.mark.parametrize("number", ["5", 1.5])
def test_bounds_that_are_no_numbers(factory: SQLAlchemyFactory, number: Any) -> None:
    recorder, tracking = factory.application_recorder(), factory.tracking_recorder()
    for call in (
        lambda: recorder.select_notifications(number, 1),
        lambda: recorder.select_notifications(1, number),
        lambda: recorder.select_notifications(1, 1, stop=number),
        lambda: recorder.subscribe(gt=number),
        lambda: recorder.subscribe(topics=number),
        lambda: recorder.select_events(uuid4(), gt=number),
        lambda: recorder.select_events(uuid4(), lte=number),
        lambda: recorder.select_events(uuid4(), limit=number),
        lambda: tracking.wait("upstream", number),
    ):
        with pytest.raises((ProgrammingError, DataError), match="expected"):
            call()


def test_bounds_beyond_64_bits(factory: SQLAlchemyFactory) -> None:
    recorder = factory.application_recorder()
    (event,) = new_events()
    recorder.insert_events([event])
    beyond = 2**63
    assert len(recorder.select_notifications(-beyond - 1, 1, stop=beyond)) == 1
    assert recorder.select_notifications(beyond, 1) == []
    assert recorder.select_notifications(1, 1, stop=-beyond - 1) == []
    select = partial(recorder.select_events, event.originator_id)
    assert select(gt=-beyond - 1, lte=beyond) == [event]
    assert select(gt=beyond) == select(lte=-beyond - 1) == []


@pytest.mark.parametrize("position", [None, "5", 1.5, 2**63])
def test_wrong_positions(factory: SQLAlchemyFactory, position: Any) -> None:
    recorder = factory.tracking_recorder()
    with pytest.raises(DataError, match=r"position .* is not a whole number from"):
        recorder.insert_tracking(Tracking("upstream", position))
    assert recorder.max_tracking_id("upstream") is None
    with pytest.raises(DataError, match="name None is a NoneType: expected a string"):
        recorder.max_tracking_id(None)  # type: ignore[arg-type]


def test_errors_of_the_driver_itself_are_no_outage(factory: SQLAlchemyFactory) -> None:
    """More parameters than it, or the database, takes. (Some take any number.)"""
    recorder = factory.application_recorder()
    many = select(literal(1)).where(literal(1).in_(range(70_000)))
    faults: set[ErrorKind] = set()
    try:
        with recorder.transaction() as connection:
            connection.execute(many)
    except PersistenceError as error:
        faults.add(error_kind_of(error, recorder.datastore.dialect))
    assert faults <= {ErrorKind.LASTING}
    assert recorder.insert_events(new_events()) == [1]


@pytest.mark.parametrize(
    ("variable", "construct"),
    [
        ("APPLICATION_RECORDER_TOPIC", SQLAlchemyFactory.application_recorder),
        ("TRACKING_RECORDER_TOPIC", SQLAlchemyFactory.tracking_recorder),
        ("PROCESS_RECORDER_TOPIC", SQLAlchemyFactory.process_recorder),
    ],
)
@pytest.mark.parametrize("topic", ["no.such:Thing", "builtins:dict", "builtins:len"])
def test_wrong_recorder_topics(
    variable: str, construct: Callable[[SQLAlchemyFactory], object], topic: str
) -> None:
    env = {"SQLALCHEMY_URL": "sqlite://", variable: topic}
    with (
        closing(SQLAlchemyFactory(env)) as factory,
        pytest.raises(ConfigurationError, match=f"{variable}: .*{topic}"),
    ):
        construct(factory)


class OwnRecorder(SQLAlchemyApplicationRecorder):
    pass


def test_recorder_topic(open_factory: OpenFactory) -> None:
    topic = f"{__name__}:{OwnRecorder.__name__}"
    factory = open_factory(APPLICATION_RECORDER_TOPIC=topic)
    assert type(factory.application_recorder()).__name__ == "OwnRecorder"


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
def test_lock_timeout(open_factory: OpenFactory) -> None:
    holder = open_factory().application_recorder()
    holder.insert_events(new_events())
    variables = {"SQLALCHEMY_LOCK_TIMEOUT": "0.1", "SQLALCHEMY_RETRY_TIMEOUT": "0.1"}
    waiter = open_factory(**variables).application_recorder()
    with holder.transaction():
        holder.insert_events(new_events())
        with pytest.raises(OperationalError):
            waiter.insert_events(new_events())
    assert waiter.insert_events(new_events()) == [3]


@pytest.mark.needs(Capability.SERVER)
def test_pool_variables(open_factory: OpenFactory) -> None:
    recorder = open_factory(
        SQLALCHEMY_POOL_SIZE="1",
        SQLALCHEMY_MAX_OVERFLOW="0",
        SQLALCHEMY_POOL_TIMEOUT="0.1",
        SQLALCHEMY_POOL_RECYCLE="3600",
        SQLALCHEMY_POOL_PRE_PING="y",
    ).application_recorder()
    pool = recorder.datastore.engine.pool
    assert isinstance(pool, QueuePool)
    assert (pool.size(), pool._max_overflow) == (1, 0)
    with (
        recorder.datastore.engine.connect(),
        pytest.raises(ConnectionUnavailableError),
    ):
        recorder.max_notification_id()


@pytest.fixture
def own_engine(backend: Backend) -> Iterator[Engine]:
    engine = create_engine(normalise_url(backend.url))
    yield engine
    engine.dispose()


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("is_callable", [False, True])
def test_engine_topic(
    env: dict[str, str], own_engine: Engine, is_callable: bool, topic_of: TopicOf
) -> None:
    found = (lambda: own_engine) if is_callable else own_engine
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(found)
    with closing(construct_factory("Application", env)) as factory:
        recorder = factory.application_recorder()
        assert factory.datastore.engine is own_engine
        recorder.insert_events(new_events())
        with recorder.transaction():
            recorder.insert_events(new_events())
        with recorder.subscribe() as subscription:
            assert [next(subscription).id for _ in range(2)] == [1, 2]
    with own_engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM es_events")) == 2


@pytest.mark.needs(Capability.SHARED)
def test_connection_creator_topic(
    env: dict[str, str], backend: Backend, topic_of: TopicOf
) -> None:
    created: list[object] = []

    def create() -> object:
        url = normalise_url(backend.url)
        dialect = url.get_dialect()()
        arguments, options = dialect.create_connect_args(url)
        created.append(True)
        return dialect.import_dbapi().connect(*arguments, **options)

    env["SQLALCHEMY_CONNECTION_CREATOR_TOPIC"] = topic_of(create)
    with closing(construct_factory("Application", env)) as factory:
        recorder = factory.application_recorder()
        with recorder.subscribe() as subscription:
            recorder.insert_events(new_events())
            assert next(subscription).id == 1
    assert created


@pytest.mark.parametrize(
    ("found", "problem"),
    [(lambda: 42, "it gives 'int'"), ("a text", "is not callable")],
)
def test_wrong_engine_topics(found: object, problem: str, topic_of: TopicOf) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        SQLAlchemyFactory({"SQLALCHEMY_ENGINE_TOPIC": topic_of(found)})


def test_engine_topic_that_leads_nowhere() -> None:
    with pytest.raises(ConfigurationError, match="Failed to resolve topic"):
        SQLAlchemyFactory({"SQLALCHEMY_ENGINE_TOPIC": "no.such:thing"})


def test_several_factories_share_an_engine(open_factory: OpenFactory) -> None:
    one, two = open_factory("One"), open_factory("Two")
    is_private = ":memory:" in one.env["SQLALCHEMY_URL"]
    assert (one.datastore.engine is two.datastore.engine) is not is_private
    other = open_factory("One", SQLALCHEMY_LOCK_TIMEOUT="7")
    assert other.datastore.engine is not one.datastore.engine
    one.application_recorder().insert_events(new_events())
    recorder = two.application_recorder()
    one.close()
    assert recorder.insert_events(new_events()) == [1]


def test_module_has_one_factory() -> None:
    env = {"PERSISTENCE_MODULE": "eventsourcing_alchemy", "SQLALCHEMY_URL": "sqlite://"}
    with closing(InfrastructureFactory.construct(env)) as factory:
        assert type(factory) is SQLAlchemyFactory


def test_variables_of_an_application(backend: Backend, env: dict[str, str]) -> None:
    """The prefixed variable wins, and keeps applications in different databases."""
    del env["SQLALCHEMY_URL"]
    env["SQLALCHEMY_URL"] = "postgresql://127.0.0.1:1/nowhere"
    env["APPLICATION_SQLALCHEMY_URL"] = backend.url
    with Application[UUID](env) as application:
        assert application.recorder.max_notification_id() is None
