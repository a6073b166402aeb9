"""What the migrations make is what the package declares, to the letter."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from backends import Backend
from eventsourcing_alchemy.schema.migrate import VERSION_TABLE, declared, upgrade
from eventsourcing_alchemy.schema.tables import metadata

POSTGRESQL_COLUMNS = """
    SELECT table_name, ordinal_position, column_name, data_type,
           character_maximum_length, collation_name, is_nullable, column_default,
           is_identity
    FROM information_schema.columns
    WHERE table_name LIKE 'es\\_%' AND table_name <> 'es_alembic_version' ORDER BY 1, 2
"""
POSTGRESQL_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conname ~ '^(pk|uq|fk|ck)_es_' ORDER BY 1, 2
"""


def ddl(connection: Connection) -> list[str]:
    """Our tables in the database's own words: collations, defaults, names and all."""
    return [re.sub(r"\s+", " ", line) for line in _ddl(connection)]


def _ddl(connection: Connection) -> Iterator[str]:
    match connection.dialect.name:
        case "postgresql":
            for query in POSTGRESQL_COLUMNS, POSTGRESQL_CONSTRAINTS:
                yield from map(str, connection.execute(text(query)))
        case "sqlite":
            query = "SELECT sql FROM sqlite_master WHERE name = :name"
            for name in metadata.tables:
                sql = str(connection.scalar(text(query), {"name": name}))
                # Columns that were added later come after the constraints.
                yield from sorted(re.split(r",\s*|\)\s*$", sql))
        case _:
            for name in metadata.tables:
                yield str(connection.execute(text(f"SHOW CREATE TABLE {name}")).one())


def test_migrated_is_declared(connection: Connection) -> None:
    upgrade(connection, None)
    migrated = ddl(connection)
    metadata.drop_all(connection)
    metadata.create_all(connection)
    assert migrated == ddl(connection)
    assert len(migrated) >= len(metadata.tables)


def test_alembic_sees_no_difference(connection: Connection) -> None:
    upgrade(connection, None)
    context = MigrationContext.configure(
        connection, opts={"version_table": VERSION_TABLE}
    )
    assert compare_metadata(context, metadata) == []


@pytest.mark.needs("server")
def test_alembic_sees_no_difference_in_a_schema(
    schema: str, connection: Connection
) -> None:
    upgrade(connection, schema)
    context = MigrationContext.configure(
        connection,
        opts={
            "version_table": VERSION_TABLE,
            "version_table_schema": schema,
            "include_schemas": True,
            "include_name": lambda name, type_, _: type_ != "schema" or name == schema,
        },
    )
    assert compare_metadata(context, declared(schema)) == []


@pytest.mark.needs("two_names")
def test_a_mysql_url_makes_the_same_tables_on_mariadb(backend: Backend) -> None:
    made = []
    for name in ("mariadb+pymysql", "mysql+pymysql"):
        url = make_url(backend.url).set(drivername=name)
        with create_engine(url, poolclass=NullPool).connect() as connection:
            upgrade(connection, None)
            made.append(ddl(connection))
            metadata.drop_all(connection)
            connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
    assert made[0] == made[1]
    assert "utf8mb4_nopad_bin" in made[0][0]
    assert "ENGINE=InnoDB" in made[0][0]


def test_every_constraint_has_a_name_of_ours() -> None:
    names = [
        constraint.name
        for table in metadata.tables.values()
        for constraint in table.constraints
    ]
    assert all(re.match(r"(pk|uq)_es_[a-z_]+$", str(name)) for name in names)
    assert len(set(names)) == len(names) == 15
