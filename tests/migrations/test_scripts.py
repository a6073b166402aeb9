"""Offline mode: SQL for databases that are not there, nor their drivers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from commandline import Alembic
from eventsourcing_alchemy.schema.migrate import current_revision, missing_tables
from eventsourcing_alchemy.schema.tables import metadata

DATABASES = ("sqlite", "postgresql", "mysql", "mariadb", "mssql", "oracle")
MYSQL = ("BINARY(16)", "LONGBLOB", "error LONGTEXT", "utf8mb4", "InnoDB")
DRIVERS = ("pymysql", "MySQLdb", "mariadb", "pyodbc", "oracledb", "cx_Oracle")
UPGRADE = f"""
import sys
sys.modules.update(dict.fromkeys({DRIVERS}))  # None makes their import an error.
from alembic.config import main
main(["-c", sys.argv[1], "upgrade", "head", "--sql"])
"""


@cache
def script(database: str, schema: str = "") -> str:
    return subprocess.run(
        [sys.executable, "-c", UPGRADE, Path(__file__).parents[2] / "alembic.ini"],
        env={
            **os.environ,
            "SQLALCHEMY_URL": f"{database}://",
            "SQLALCHEMY_SCHEMA": schema,
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("database", DATABASES)
def test_scripts_render_for_every_database(database: str) -> None:
    sql = script(database)
    created = re.findall(r"CREATE TABLE (\w+)", sql)
    assert set(created) == {*metadata.tables, "es_alembic_version"}
    assert "INSERT INTO es_alembic_version (version_num) VALUES ('es_0001')" in sql
    assert "UPDATE es_alembic_version SET version_num='es_0002'" in sql
    assert "RETURNING" not in sql
    assert "CREATE SCHEMA" not in sql


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("sqlite", ["originator_id BLOB", "topic VARCHAR(1024)", "error TEXT"]),
        (
            "postgresql",
            ["originator_id UUID", 'VARCHAR(1024) COLLATE "C"', "BYTEA", "error TEXT"],
        ),
        ("mysql", [*MYSQL, "COLLATE utf8mb4_0900_bin"]),
        ("mariadb", [*MYSQL, "COLLATE utf8mb4_nopad_bin"]),
        (
            "mssql",
            [
                "UNIQUEIDENTIFIER",
                "NVARCHAR(1024) COLLATE",
                "VARBINARY(max)",
                "error NVARCHAR(max)",
                "pk_es_tracking PRIMARY KEY NONCLUSTERED",
                "pk_es_text_snapshots PRIMARY KEY NONCLUSTERED",
            ],
        ),
        (
            "oracle",
            [
                "AS IDENTITY",
                "VARCHAR2(1024 CHAR)",
                "TIMESTAMP WITH TIME ZONE",
                "error CLOB",
            ],
        ),
    ],
)
def test_scripts_have_the_types_of_the_database(
    database: str, expected: list[str]
) -> None:
    sql = script(database)
    assert [each for each in expected if each not in sql] == []


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("sqlite", "-- schema my_events must exist"),
        ("postgresql", "CREATE SCHEMA IF NOT EXISTS my_events;"),
        ("mysql", "CREATE SCHEMA IF NOT EXISTS my_events;"),
        ("mariadb", "CREATE SCHEMA IF NOT EXISTS my_events;"),
        ("mssql", "IF SCHEMA_ID(N'my_events') IS NULL EXEC(N'CREATE SCHEMA my_events"),
        ("oracle", "-- schema my_events must exist"),
    ],
)
def test_scripts_make_the_schema_first(database: str, expected: str) -> None:
    sql = script(database, schema="my_events")
    before, table, _ = sql.partition("CREATE TABLE my_events.es_alembic_version")
    assert expected in before
    assert table
    assert "CREATE TABLE es_" not in sql


@pytest.mark.needs("shared")
def test_the_database_accepts_its_script(engine: Engine) -> None:
    with engine.begin() as connection:
        for statement in script(engine.dialect.name).split(";\n"):
            if statement.strip() not in ("", "BEGIN", "COMMIT"):
                connection.execute(text(re.sub(r"(:)", r"\\\1", statement)))
        assert missing_tables(connection, None) == []
        assert current_revision(connection, None) == "es_0006"


def test_a_script_drops_tables_only_if_that_is_allowed(
    alembic: Alembic,
) -> None:
    downgrade = ("downgrade", "head:base", "--sql")
    alembic("postgresql://", *downgrade, error="allow-data-loss=yes")
    sql = alembic("postgresql://", "-x", "allow-data-loss=yes", *downgrade)
    assert set(re.findall(r"DROP TABLE (\w+)", sql)) >= set(metadata.tables)
