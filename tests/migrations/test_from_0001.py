"""Databases of the first release, with data, and what follows es_0001."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import ProgrammingError, StoredEvent
from sqlalchemy import Engine, inspect, select, text

from backends import Backend
from behaviour.workers import come_up
from commandline import Alembic
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.migrate import (
    current_revision,
    missing,
    missing_tables,
)
from factories import OpenFactory
from processes import barrier, in_processes

pytestmark = pytest.mark.needs("shared")

NO_DRIFT = "No new upgrade operations detected"
ALLOWED = ("-x", "allow-data-loss=yes")
NEW = {
    "es_dead_letters",
    "es_leases",
    "es_dcb_events",
    "es_dcb_tags",
    "es_rebuilds",
    "es_standbys",
}
RECORD = {"originator_version": 1, "topic": "t", "state": b"s"}
EVENT = {"application_id": 1, "notification_id": 1, **RECORD}
SNAPSHOT = {"application_id": 1, "purpose": "p", **RECORD}
FOLLOWED = {"projection_name": "p", "application_name": "a"}
ROWS: dict[str, dict[str, Any]] = {
    "es_applications": {"name": "Application", "last_notification_id": 1},
    "es_events": {**EVENT, "originator_id": UUID(int=1)},
    "es_text_events": {**EVENT, "originator_id": "one"},
    "es_snapshots": {**SNAPSHOT, "originator_id": UUID(int=1)},
    "es_text_snapshots": {**SNAPSHOT, "originator_id": "one"},
    "es_tracking": {**FOLLOWED, "notification_id": 1},
}
DEAD_LETTER = {
    **FOLLOWED,
    "notification_id": 1,
    "topic": "t",
    "error": "e",
    "attempts": 1,
}
TAG = {"application_id": 1, "tag": "a", "position": 1, "type": "t"}


def insert(engine: Engine, name: str, values: dict[str, Any], schema: str = "") -> None:
    with engine.begin() as connection:
        connection.execution_options(schema_translate_map={None: schema or None})
        connection.execute(tables.metadata.tables[name].insert().values(values))


def fill(engine: Engine, schema: str = "") -> dict[str, Any]:
    """Store a row in every table of es_0001."""
    for name, values in ROWS.items():
        insert(engine, name, values, schema)
    return stored(engine, schema)


def stored(engine: Engine, schema: str = "") -> dict[str, Any]:
    with engine.connect() as connection:
        connection.execution_options(schema_translate_map={None: schema or None})
        return {
            name: connection.execute(tables.metadata.tables[name].select()).all()
            for name in ROWS
        }


def revision(engine: Engine, schema: str | None = None) -> str | None:
    with engine.connect() as connection:
        assert missing_tables(connection, schema) == []
        return current_revision(connection, schema)


@pytest.fixture
def rows(backend: Backend, engine: Engine, alembic: Alembic) -> dict[str, Any]:
    """The rows of a database at es_0001."""
    alembic(backend.url, "upgrade", "es_0001")
    assert not NEW & set(inspect(engine).get_table_names())
    return fill(engine)


class TestUpgrade:
    def test_by_the_command(
        self, backend: Backend, engine: Engine, alembic: Alembic, rows: dict[str, Any]
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        assert stored(engine) == rows
        assert revision(engine) == "es_0006"
        assert NO_DRIFT in alembic(backend.url, "check")

    @pytest.mark.needs("server")
    def test_in_a_schema(
        self, backend: Backend, schema: str, engine: Engine, alembic: Alembic
    ) -> None:
        alembic(backend.url, "upgrade", "es_0001", schema=schema)
        rows = fill(engine, schema)
        alembic(backend.url, "upgrade", "head", schema=schema)
        assert stored(engine, schema) == rows
        assert revision(engine, schema) == "es_0006"
        assert inspect(engine).get_table_names() == []

    def test_by_an_application(
        self,
        backend: Backend,
        engine: Engine,
        alembic: Alembic,
        rows: dict[str, Any],
        open_factory: OpenFactory,
    ) -> None:
        recorder = open_factory().application_recorder()
        assert stored(engine) == rows
        assert revision(engine) == "es_0006"
        assert NO_DRIFT in alembic(backend.url, "check")
        event = StoredEvent(UUID(int=1), 2, "topic", b"state")
        assert recorder.insert_events([event]) == [2]

    def test_by_applications_that_come_up_together(
        self, env: dict[str, str], engine: Engine, rows: dict[str, Any]
    ) -> None:
        start = barrier(4)
        positions = in_processes([partial(come_up, env, start)] * 4)
        assert sorted(each or 0 for each in positions) == [2, 3, 4, 5]
        assert revision(engine) == "es_0006"
        assert stored(engine)["es_tracking"] == rows["es_tracking"]

    def test_by_nobody(self, rows: dict[str, Any], open_factory: OpenFactory) -> None:
        assert rows
        factory = open_factory(CREATE_TABLE="no")
        with pytest.raises(
            ProgrammingError, match="lacks es_dcb_events, es_dcb_tags, es_de"
        ):
            factory.application_recorder()

    def test_from_es_0003_by_an_application(
        self,
        backend: Backend,
        engine: Engine,
        alembic: Alembic,
        open_factory: OpenFactory,
    ) -> None:
        """No table is missing then, but columns are."""
        alembic(backend.url, "upgrade", "es_0003")
        for table in (tables.rebuilds, tables.standbys):
            table.create(engine)
        with pytest.raises(ProgrammingError, match=r"lacks es_dead_letters\.orig"):
            open_factory(CREATE_TABLE="no").application_recorder()
        open_factory().application_recorder()
        assert revision(engine) == "es_0006"

    def test_what_did_not_end(
        self, backend: Backend, engine: Engine, alembic: Alembic, rows: dict[str, Any]
    ) -> None:
        """On a database that commits each table by itself."""
        tables.dead_letters.create(engine)
        insert(engine, "es_dead_letters", DEAD_LETTER)
        alembic(backend.url, "upgrade", "head")
        assert stored(engine) == rows
        assert revision(engine) == "es_0006"
        with engine.connect() as connection:
            assert len(connection.execute(tables.dead_letters.select()).all()) == 1


class TestOwnEnvironment:
    """Its version table is not ours, so ours says nothing."""

    @pytest.mark.parametrize("first", ["environment", "application"])
    def test_upgrade(
        self,
        backend: Backend,
        engine: Engine,
        alembic: Alembic,
        ini: Path,
        open_factory: OpenFactory,
        first: str,
    ) -> None:
        alembic(backend.url, "upgrade", "es_0001", ini=ini)
        rows = fill(engine)
        if first == "application":
            open_factory().application_recorder()
            assert stored(engine) == rows
            assert revision(engine) == "es_0006"
        alembic(backend.url, "upgrade", "heads", ini=ini)
        open_factory().application_recorder()
        assert stored(engine) == rows
        assert revision(engine) == ("es_0006" if first == "application" else None)
        with engine.connect() as connection:
            found = connection.scalars(text("SELECT version_num FROM alembic_version"))
            assert found.all() == ["es_0006"]


class TestDowngrade:
    @pytest.mark.parametrize("target", ["es_0001", "-5", "head-5"])
    def test_leaves_the_data_of_es_0001(
        self,
        backend: Backend,
        engine: Engine,
        alembic: Alembic,
        rows: dict[str, Any],
        target: str,
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        expired = {"holder": "h", "token": 1, "expires_at": text("CURRENT_TIMESTAMP")}
        insert(engine, "es_leases", {**FOLLOWED, **expired})
        alembic(backend.url, "downgrade", target)
        assert stored(engine) == rows
        assert not NEW & set(inspect(engine).get_table_names())
        assert "es_0001" in alembic(backend.url, "current")

    @pytest.mark.parametrize("target", ["es_0002", "-4", "head-4"])
    def test_by_four_looks_at_their_own_tables(
        self, backend: Backend, engine: Engine, alembic: Alembic, target: str
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        insert(engine, "es_dead_letters", DEAD_LETTER)
        insert(engine, "es_dcb_tags", TAG)
        alembic(backend.url, "downgrade", target, error="es_dcb_tags holds rows")
        assert revision(engine) == "es_0006"
        with engine.begin() as connection:
            connection.execute(tables.dcb_tags.delete())
        alembic(backend.url, "downgrade", target)
        assert "es_0002" in alembic(backend.url, "current")
        with engine.connect() as connection:
            found = select(tables.dead_letters.c.error)
            assert connection.scalars(found).all() == ["e"]

    @pytest.mark.parametrize("target", ["es_0003", "-3", "head-3"])
    def test_by_three_drops_what_is_known_of_dead_letters(
        self, backend: Backend, engine: Engine, alembic: Alembic, target: str
    ) -> None:
        """Not the dead letters, nor what holds rows."""
        alembic(backend.url, "upgrade", "head")
        insert(engine, "es_dead_letters", {**DEAD_LETTER, "traceback": "t"})
        alembic(backend.url, "downgrade", target)
        assert "es_0003" in alembic(backend.url, "current")
        columns = inspect(engine).get_columns("es_dead_letters")
        assert [each["name"] for each in columns][-1] == "recorded_at"
        for table in (tables.rebuilds, tables.standbys):
            table.create(engine)
        with engine.connect() as connection:
            assert missing(connection, None) == [
                "es_dead_letters.originator_id",
                "es_dead_letters.originator_version",
                "es_dead_letters.traceback",
            ]
        alembic(backend.url, "upgrade", "head")
        with engine.connect() as connection:
            (row,) = connection.execute(tables.dead_letters.select())
            assert (row.error, row.traceback) == ("e", None)

    def test_does_not_drop_dead_letters_unless_that_is_allowed(
        self, backend: Backend, engine: Engine, alembic: Alembic
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        insert(engine, "es_dead_letters", DEAD_LETTER)
        for target in ("es_0001", "base", "-5"):
            alembic(
                backend.url, "downgrade", target, error="es_dead_letters holds rows"
            )
            assert revision(engine) == "es_0006"
        alembic(backend.url, *ALLOWED, "downgrade", "es_0001")
        assert not NEW & set(inspect(engine).get_table_names())

    @pytest.mark.parametrize(
        "target", ["base", "eventsourcing_alchemy@base", "-6", "head-6"]
    )
    def test_beyond_es_0001_is_refused_as_a_whole(
        self,
        backend: Backend,
        engine: Engine,
        alembic: Alembic,
        rows: dict[str, Any],
        target: str,
    ) -> None:
        """Not after the tables of es_0002 are gone, which some would not bring back."""
        alembic(backend.url, "upgrade", "head")
        alembic(backend.url, "downgrade", target, error="holds rows")
        assert stored(engine) == rows
        assert revision(engine) == "es_0006"
        alembic(backend.url, *ALLOWED, "downgrade", target)
        assert inspect(engine).get_table_names() == ["es_alembic_version"]
