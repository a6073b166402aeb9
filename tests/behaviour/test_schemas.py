"""Database schemas of any name, or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import (
    IntegrityError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from sqlalchemy import Engine, create_engine, event, inspect, make_url
from sqlalchemy.schema import CreateSchema, DropSchema

from backends import Backend, Capability
from commandline import Alembic, AlembicInProcess
from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyFactory
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.schema.migrate import VERSION_TABLE, missing_tables
from eventsourcing_alchemy.schema.namespaces import checked_schema
from factories import OpenFactory, construct_factory

pytestmark = pytest.mark.empty


@pytest.fixture
def alembic(tmp_path: Path) -> Alembic:
    return AlembicInProcess(tmp_path)


@pytest.mark.needs(Capability.SERVER)
class TestSchemas:
    @pytest.fixture
    def schema(self, engine: Engine) -> Iterator[str]:
        """The name of a schema that does not exist, nor will after the test."""
        has_cascade = engine.dialect.name not in ("mysql", "mariadb")
        # Each of them is refused elsewhere.
        own = "🙂" if has_cascade else "it's"
        name = f'{engine.url.database} "`;-- %s%%%(x)s:x\\{{}}$1?[É].{own}'
        yield name
        with engine.begin() as connection:
            drop = DropSchema(name, cascade=has_cascade, if_exists=True)
            connection.execute(drop)

    def test_made_by_applications(
        self, schema: str, engine: Engine, open_factory: OpenFactory
    ) -> None:
        use_all_tables(open_factory, SQLALCHEMY_SCHEMA=schema)
        tables = inspect(engine).get_table_names(schema)
        assert {"es_events", "event_counters"} <= set(tables)
        assert inspect(engine).get_table_names() == []

    def test_made_by_alembic(
        self,
        schema: str,
        backend: Backend,
        engine: Engine,
        alembic: Alembic,
        open_factory: OpenFactory,
    ) -> None:
        # Applications do not see the spaces, either.
        alembic(backend.url, "upgrade", "head", schema=f" {schema} ")
        assert "No new upgrade" in alembic(backend.url, "check", schema=schema)
        with engine.begin() as connection:
            connection.execution_options(schema_translate_map={None: schema})
            EventCounters.metadata.create_all(connection)
        use_all_tables(open_factory, SQLALCHEMY_SCHEMA=schema, CREATE_TABLE="no")

    def test_made_by_a_script(
        self, schema: str, backend: Backend, engine: Engine, alembic: Alembic
    ) -> None:
        script = alembic(backend.url, "upgrade", "head", "--sql", schema=schema)
        with engine.begin() as connection:
            cursor = connection.connection.cursor()
            for statement in script.split(";\n"):
                if statement.strip() not in ("", "BEGIN", "COMMIT"):
                    # As a client would: nothing stands for a parameter.
                    cursor.execute(statement)
            cursor.close()
            assert missing_tables(connection, schema) == []


@pytest.mark.needs(Capability.SEARCH_PATH)
class TestSearchPath:
    """Tables of another schema, which a connection finds as well, are not its own."""

    @pytest.fixture
    def tenant(
        self, engine: Engine, backend: Backend, factory: SQLAlchemyFactory
    ) -> str:
        """A URL that leads to an empty schema first, then to one that is in use."""
        factory.tracking_recorder(EventCounters)
        with engine.begin() as connection:
            connection.execute(CreateSchema("tenant"))
        options = {"options": "-csearch_path=tenant,public"}
        url = make_url(backend.url).update_query_dict(options)
        return url.render_as_string(hide_password=False)

    def test_made_by_applications(
        self, tenant: str, engine: Engine, open_factory: OpenFactory
    ) -> None:
        of_all = open_factory("Names").application_recorder()
        of_all.insert_events([StoredEvent(uuid4(), 1, "topic", b"of others")])
        use_all_tables(open_factory, SQLALCHEMY_URL=tenant)
        tables = inspect(engine).get_table_names("tenant")
        assert {"es_events", VERSION_TABLE, "event_counters"} <= set(tables)

    def test_made_by_alembic(
        self, tenant: str, engine: Engine, alembic: Alembic, open_factory: OpenFactory
    ) -> None:
        assert "es_0" not in alembic(tenant, "current")
        alembic(tenant, "upgrade", "head")
        tables = inspect(engine).get_table_names("tenant")
        assert {"es_events", VERSION_TABLE} <= set(tables)
        assert "No new upgrade operations" in alembic(tenant, "check")
        use_all_tables(open_factory, SQLALCHEMY_URL=tenant)
        alembic(tenant, "-x", "allow-data-loss=yes", "downgrade", "base")
        inspector = inspect(engine)
        assert "es_events" not in inspector.get_table_names("tenant")
        assert "es_events" in inspector.get_table_names("public")

    def test_missed(self, tenant: str, open_factory: OpenFactory) -> None:
        factory = open_factory(SQLALCHEMY_URL=tenant, CREATE_TABLE="no")
        with pytest.raises(
            ProgrammingError, match=r"es_applications, .*event_counters"
        ):
            factory.tracking_recorder(EventCounters)

    @pytest.mark.usefixtures("tenant")
    def test_set_by_a_listener(
        self,
        backend: Backend,
        open_factory: OpenFactory,
        topic_of: Callable[[object], str],
    ) -> None:
        """For the connections of a tenant, after the engine has seen others."""
        engine = create_engine(backend.url)
        engine.connect().close()

        @event.listens_for(engine, "checkout")
        def set_search_path(dbapi_connection: Any, *_: Any) -> None:
            dbapi_connection.cursor().execute("SET search_path = tenant, public")
            dbapi_connection.commit()

        use_all_tables(open_factory, SQLALCHEMY_ENGINE_TOPIC=topic_of(engine))
        engine.dispose()
        of_all = open_factory("Names").application_recorder()
        assert of_all.max_notification_id() is None


def use_all_tables(open_factory: OpenFactory, **variables: str) -> None:
    factory = open_factory("Names", **variables)
    stored = StoredEvent(uuid4(), 1, "topic", b"state")
    snapshots = factory.aggregate_recorder()
    snapshots.insert_events([stored])
    assert snapshots.select_events(stored.originator_id) == [stored]
    recorder = factory.application_recorder()
    assert recorder.insert_events([stored]) == [1]
    with recorder.subscribe(topics=["topic"]) as subscription:
        assert next(subscription).id == 1
    view = factory.tracking_recorder(EventCounters)
    for position in (1, 2):
        view.incr_created_event_counter(Tracking("Names", position))
    view.wait("Names", 2, timeout=0)
    assert view.get_created_event_counter() == 2
    tagged = open_factory("Tagged", **variables).dcb_recorder()
    given = DCBEvent("type", b"data", ["tag"])
    query = DCBQuery([DCBQueryItem(["type"], ["tag"])])
    with tagged.subscribe(query) as events:
        assert tagged.append([given], DCBAppendCondition(query)) == 1
        assert next(events).event == given
    with pytest.raises(IntegrityError):
        tagged.append([given], DCBAppendCondition(query))
    assert [each.event for each in tagged.read(query)] == [given]


class TestRefusedSchemas:
    @pytest.mark.parametrize(
        ("database", "schema", "problem"),
        [
            ("sqlite", "a\0b", "control character"),
            ("oracle", "a\ud83d", "half of a surrogate pair"),
            ("postgresql", "a\nb", "control character"),
            ("postgresql", "it's", "alembic check"),
            ("postgresql", "é" * 32, "64 bytes in UTF-8"),
            ("mysql", "x" * 65, "65 characters"),
            ("mariadb", "a🙂", "contains '🙂'"),
        ],
    )
    def test_why(self, database: str, schema: str, problem: str) -> None:
        with pytest.raises(ValueError, match="choose another name") as failure:
            checked_schema(schema, database)
        assert repr(schema) in str(failure.value)
        assert problem in str(failure.value)

    def test_where(
        self, backend: Backend, alembic: Alembic, open_factory: OpenFactory
    ) -> None:
        schema, problem = "a\tb", r"SQLALCHEMY_SCHEMA: 'a\tb' contains"
        for create_table in "yes", "no":
            factory = open_factory(SQLALCHEMY_SCHEMA=schema, CREATE_TABLE=create_table)
            with pytest.raises(ConfigurationError) as failure:
                factory.application_recorder()
            assert problem in str(failure.value)
        for command in ["current"], ["upgrade", "head"], ["upgrade", "head", "--sql"]:
            alembic(backend.url, *command, schema=schema, error=problem)

    def test_sqlite_creates_none(self) -> None:
        env = {"SQLALCHEMY_URL": "sqlite://", "SQLALCHEMY_SCHEMA": "billing"}
        env["PERSISTENCE_MODULE"] = "eventsourcing_alchemy"
        with closing(construct_factory("Names", env)) as factory:
            remedy = "unknown database billing.* leave the variable unset"
            with pytest.raises(ConfigurationError, match=remedy):
                factory.application_recorder()
