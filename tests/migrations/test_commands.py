"""Alembic's commands, from the checkout and from an installed package."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, inspect, select, text
from sqlalchemy.orm import Session

from backends import Backend
from behaviour.workers import come_up
from commandline import Alembic
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.migrate import VERSION_TABLE, missing_tables
from processes import barrier, in_processes

ALL_TABLES = {*tables.metadata.tables, VERSION_TABLE}
NO_DRIFT = "No new upgrade operations detected"
ALLOWED = ("-x", "allow-data-loss=yes")


@pytest.mark.needs("shared")
class TestEveryDatabase:
    def test_there_and_back(
        self, backend: Backend, engine: Engine, alembic_process: Alembic
    ) -> None:
        alembic = alembic_process
        assert "es_0006" not in alembic(backend.url, "current")
        alembic(backend.url, "upgrade", "head")
        assert set(inspect(engine).get_table_names()) == ALL_TABLES
        assert "es_0006 (head)" in alembic(backend.url, "current")
        alembic(backend.url, "downgrade", "base")
        assert inspect(engine).get_table_names() == [VERSION_TABLE]
        alembic(backend.url, "upgrade", "head")
        assert set(inspect(engine).get_table_names()) == ALL_TABLES

    def test_check_finds_drift_in_our_tables_only(
        self, backend: Backend, engine: Engine, alembic: Alembic
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE somebody_elses (id INTEGER)"))
        assert NO_DRIFT in alembic(backend.url, "check")
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE es_tracking ADD COLUMN odd INTEGER"))
        alembic(backend.url, "check", error="odd")

    def test_a_half_made_schema_is_completed(
        self, backend: Backend, engine: Engine, alembic: Alembic
    ) -> None:
        tables.applications.create(engine)
        tables.events.create(engine)
        with engine.begin() as connection:
            connection.execute(tables.applications.insert().values(name="kept"))
        alembic(backend.url, "upgrade", "head")
        assert NO_DRIFT in alembic(backend.url, "check")
        with engine.connect() as connection:
            assert missing_tables(connection, None) == []
            assert connection.scalar(select(tables.applications.c.name)) == "kept"

    def test_rows_are_not_dropped_unless_that_is_allowed(
        self, backend: Backend, engine: Engine, alembic: Alembic
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        with engine.begin() as connection:
            connection.execute(
                tables.tracking.insert().values(
                    projection_name="p", application_name="a", notification_id=1
                )
            )
        alembic(backend.url, "downgrade", "base", error="es_tracking holds rows")
        alembic(
            backend.url, "-x", "allow-data-loss=no", "downgrade", "base", error="rows"
        )
        with Session(engine) as session:
            assert session.scalar(select(func.count()).select_from(tables.tracking))
        assert set(inspect(engine).get_table_names()) == ALL_TABLES
        alembic(backend.url, *ALLOWED, "downgrade", "base")
        assert inspect(engine).get_table_names() == [VERSION_TABLE]

    def test_those_who_migrate_at_once_take_turns(
        self,
        backend: Backend,
        env: dict[str, str],
        alembic_process: Alembic,
    ) -> None:
        """The command, several times, and applications that come up meanwhile."""
        with ThreadPoolExecutor() as threads:
            commands = [
                threads.submit(alembic_process, backend.url, "upgrade", "head")
                for _ in range(3)
            ]
            start = barrier(2)
            positions = in_processes([partial(come_up, env, start)] * 2)
            for each in commands:
                each.result()
        assert sorted(each or 0 for each in positions) == [1, 2]
        assert NO_DRIFT in alembic_process(backend.url, "check")

    def test_three_lines_are_an_ini_file(
        self, backend: Backend, alembic: Alembic, tmp_path: Path
    ) -> None:
        # An installed wheel knows it as eventsourcing_alchemy:migrations, too.
        ini = tmp_path / "alembic.ini"
        location = "eventsourcing_alchemy.migrations:."
        ini.write_text(f"[alembic]\nscript_location = {location}\n")
        alembic(backend.url, "upgrade", "head", ini=ini)
        assert NO_DRIFT in alembic(backend.url, "check", ini=ini)


class TestSchema:
    @pytest.mark.needs("server")
    def test_it_is_made_and_nothing_is_outside(
        self, backend: Backend, engine: Engine, alembic: Alembic, schema: str
    ) -> None:
        assert "es_0006" not in alembic(backend.url, "current", schema=schema)
        assert not inspect(engine).has_schema(schema)
        alembic(backend.url, "upgrade", "head", schema=schema)
        assert set(inspect(engine).get_table_names(schema)) == ALL_TABLES
        assert inspect(engine).get_table_names() == []
        assert "es_0006 (head)" in alembic(backend.url, "current", schema=schema)
        alembic(backend.url, "downgrade", "base", schema=schema)
        assert inspect(engine).get_table_names(schema) == [VERSION_TABLE]

    @pytest.mark.needs("server")
    def test_schemas_of_one_database_do_not_drift_into_each_other(
        self, backend: Backend, engine: Engine, alembic: Alembic, schema: str
    ) -> None:
        alembic(backend.url, "upgrade", "head")
        alembic(backend.url, "upgrade", "head", schema=schema)
        tables.tracking.drop(engine)
        assert NO_DRIFT in alembic(backend.url, "check", schema=schema)
        alembic(backend.url, "check", error="es_tracking")

    @pytest.mark.needs("shared")
    def test_the_default_schema_may_be_named(
        self, backend: Backend, engine: Engine, alembic: Alembic
    ) -> None:
        inspector = inspect(engine)
        default = inspector.default_schema_name
        alembic(backend.url, "upgrade", "head", schema=default)
        assert NO_DRIFT in alembic(backend.url, "check", schema=default)
        assert NO_DRIFT in alembic(backend.url, "check")
        assert set(inspector.get_table_names()) == ALL_TABLES

    def test_sqlite_does_not_make_one(self, alembic: Alembic, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'file.db'}"
        alembic(url, "upgrade", "head", schema="other", error="unknown database other")


class TestUrl:
    def test_the_default_is_a_file_here(self, alembic: Alembic, tmp_path: Path) -> None:
        alembic(None, "upgrade", "head")
        assert (tmp_path / "eventsourcing.db").exists()

    @pytest.mark.parametrize(
        "url",
        [
            "postgresql://me:s3cr%40t%25@127.0.0.1:1/database",
            "mysql://me:s3cr%40t%25@127.0.0.1:1/database",
            "postgresql://me:p@127.0.0.1:s3cr@t/database",
            "unheardof://me:s3cr%40t%25@127.0.0.1/database",
        ],
    )
    def test_the_password_is_not_shown(
        self, alembic_process: Alembic, url: str
    ) -> None:
        assert "s3cr" not in alembic_process(url, "current", "-v", error="")

    def test_the_password_of_a_script_is_not_shown(self, alembic: Alembic) -> None:
        url = "postgresql://me:s3cr%40t%25@127.0.0.1:1/database"
        assert "s3cr" not in alembic(url, "upgrade", "head", "--sql")

    def test_what_is_wrong_is_said(self, alembic: Alembic) -> None:
        alembic("nonsense", "current", error="SQLALCHEMY_URL: the database URL cannot")
        alembic("postgres://", "current", error="no SQLAlchemy dialect is installed")
