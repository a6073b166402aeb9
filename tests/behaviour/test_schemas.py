"""Database schemas of any name, or a clear refusal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import ProgrammingError, StoredEvent, Tracking
from sqlalchemy import Engine, create_engine, inspect
from sqlalchemy.schema import DropSchema

from backends import Backend, Capability
from commandline import Alembic, AlembicInProcess
from eventcounters import EventCounters
from eventsourcing_alchemy.dialects.schemas import checked_schema
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.migrate import missing_tables
from factories import OpenFactory, construct_factory


@pytest.fixture
def engine(backend: Backend) -> Iterator[Engine]:
    engine = create_engine(normalise_url(backend.url))
    yield engine
    engine.dispose()


@pytest.fixture
def alembic(tmp_path: Path) -> Alembic:
    return AlembicInProcess(tmp_path)


@pytest.mark.needs(Capability.SERVER)
class TestSchemas:
    @pytest.fixture
    def schema(self, engine: Engine) -> Iterator[str]:
        """The name of a schema that does not exist, nor will after the test."""
        has_cascade = engine.dialect.name == "postgresql"
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


def use_all_tables(open_factory: OpenFactory, **variables: str) -> None:
    factory = open_factory("Names", **variables)
    event = StoredEvent(uuid4(), 1, "topic", b"state")
    snapshots = factory.aggregate_recorder()
    snapshots.insert_events([event])
    assert snapshots.select_events(event.originator_id) == [event]
    recorder = factory.application_recorder()
    assert recorder.insert_events([event]) == [1]
    with recorder.subscribe(topics=["topic"]) as subscription:
        assert next(subscription).id == 1
    view = factory.tracking_recorder(EventCounters)
    for position in (1, 2):
        view.incr_created_event_counter(Tracking("Names", position))
    view.wait("Names", 2, timeout=0)
    assert view.get_created_event_counter() == 2


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
            with pytest.raises(ProgrammingError, match=remedy):
                factory.application_recorder()
