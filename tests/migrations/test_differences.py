"""What the promises rest on is compared, and healthy tables are in order."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import Column, Connection, MetaData, Table, text

from backends import Capability
from eventsourcing_alchemy.operations.schema_differences import table_differences
from eventsourcing_alchemy.schema.alembic_config import configured
from eventsourcing_alchemy.schema.migrate import revisions, upgrade
from eventsourcing_alchemy.schema.tables import events, metadata, tracking

KEY = "(projection_name, application_name)"

POSTGRESQL = [
    (
        "ALTER TABLE es_applications ALTER id DROP DEFAULT",
        "es_applications.id generates no values",
    ),
    (
        "ALTER TABLE es_tracking DROP CONSTRAINT pk_es_tracking",
        f"The primary key of es_tracking is missing, not {KEY}",
    ),
    (
        'ALTER TABLE es_applications ALTER name TYPE varchar(255) COLLATE "default"',
        "The collation of es_applications.name is that of the database, not C",
    ),
    (
        "ALTER TABLE es_events ALTER recorded_at DROP DEFAULT",
        "The default of es_events.recorded_at is missing, not clock_timestamp()",
    ),
    (
        "ALTER TABLE es_events ALTER recorded_at SET DEFAULT now()",
        "The default of es_events.recorded_at is now(), not clock_timestamp()",
    ),
    (
        "ALTER TABLE es_events ALTER recorded_at TYPE timestamptz(0)",
        "es_events.recorded_at keeps 0 digits of fractions of seconds, not 6",
    ),
    (
        "ALTER TABLE es_events SET UNLOGGED",
        "es_events is UNLOGGED, so a crash of the server empties it",
    ),
]

MARIADB = [
    (
        "ALTER TABLE es_applications MODIFY id bigint NOT NULL",
        "es_applications.id generates no values",
    ),
    (
        "ALTER TABLE es_tracking DROP PRIMARY KEY",
        f"The primary key of es_tracking is missing, not {KEY}",
    ),
    (
        "ALTER TABLE es_leases MODIFY holder varchar(255) COLLATE utf8mb4_bin NOT NULL",
        "The collation of es_leases.holder is utf8mb4_bin, not utf8mb4_nopad_bin",
    ),
    (
        "ALTER TABLE es_rebuilds CONVERT TO CHARACTER SET latin1",
        "es_rebuilds.tables is in the character set latin1, not utf8mb4",
    ),
    (
        "ALTER TABLE es_events MODIFY recorded_at datetime(6) NOT NULL",
        "The default of es_events.recorded_at is missing, not (UTC_TIMESTAMP(6))",
    ),
    (
        "ALTER TABLE es_events MODIFY recorded_at datetime DEFAULT utc_timestamp()",
        "es_events.recorded_at keeps 0 digits of fractions of seconds, not 6",
    ),
    (
        "ALTER TABLE es_events ENGINE = MyISAM",
        "es_events is of the engine MyISAM, not InnoDB",
    ),
]

DAMAGE = {"postgresql": POSTGRESQL, "mysql": MARIADB, "mariadb": MARIADB}


def migrate(connection: Connection, revision: str) -> None:
    with configured(connection=connection, schema=None) as config:
        command.upgrade(config, revision)


def test_from_each_revision_on(connection: Connection) -> None:
    for each in revisions():
        metadata.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE IF EXISTS es_alembic_version")
        migrate(connection, each)
        migrate(connection, "head")
        assert table_differences(connection, None) == [], each


@pytest.mark.needs(Capability.SERVER)
def test_in_a_schema(schema: str, connection: Connection) -> None:
    upgrade(connection, schema)
    assert table_differences(connection, schema) == []
    connection.exec_driver_sql(f"ALTER TABLE {schema}.es_events DROP COLUMN topic")
    assert "topic" in str(table_differences(connection, schema))


@pytest.mark.needs(Capability.SERVER)
def test_what_was_altered(connection: Connection) -> None:
    upgrade(connection, None)
    for statement, difference in DAMAGE[connection.dialect.name]:
        before = table_differences(connection, None)
        connection.exec_driver_sql(statement)
        found = table_differences(connection, None)
        assert difference not in before
        assert difference in found, found


def test_constraints_and_defaults_that_are_missing(connection: Connection) -> None:
    """On any database."""
    upgrade(connection, None)
    for table in (tracking, events):
        columns = [Column(it.name, it.type, nullable=it.nullable) for it in table.c]
        table.drop(connection)
        Table(table.name, MetaData(), *columns).create(connection)
    unique, *others = table_differences(connection, None)
    assert "UniqueConstraint" in unique
    assert [each.partition(" is missing, not")[0] for each in others] == [
        "The primary key of es_events",
        "The primary key of es_tracking",
        "The default of es_events.recorded_at",
    ]


@pytest.mark.needs(Capability.FILE_LOCKS)
def test_a_collation_of_sqlite(connection: Connection) -> None:
    upgrade(connection, None)
    query = text("SELECT sql FROM sqlite_master WHERE name = 'es_tracking'")
    sql = str(connection.scalar(query))
    tracking.drop(connection)
    name = "projection_name VARCHAR(255)"
    connection.exec_driver_sql(sql.replace(name, f"{name} COLLATE NOCASE"))
    found = "es_tracking has the collation NOCASE, not BINARY"
    assert table_differences(connection, None) == [found]
