"""How the tables differ from those that this version of the package declares."""

import re
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, DateTime, DefaultClause, inspect
from sqlalchemy.engine.interfaces import ReflectedColumn

from eventsourcing_alchemy.dialects.base.stored_tables import StoredColumn
from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.schema.migrate import differences
from eventsourcing_alchemy.schema.namespaces import default_schema
from eventsourcing_alchemy.schema.tables import metadata

PRECISION = 6
"""Digits of fractions of seconds."""

_COLLATION = re.compile(r'COLLATE "?(\w+)')
_NOISE = re.compile(r"::\w+|[\s()'\"]")


def table_differences(connection: Connection, schema: str | None) -> Sequence[str]:
    """What differs, in Alembic's words, and what Alembic does not compare.

    Args:
        connection: where to look.
        schema: of the tables; None for the connection's.

    Raises:
        ProgrammingError: if Alembic refuses.
    """
    there = schema or default_schema(connection)
    return [*differences(connection, schema), *_not_compared(connection, there)]


def _not_compared(connection: Connection, schema: str | None) -> Iterator[str]:
    dialect, names = dialect_of(connection), [*metadata.tables]
    inspector = inspect(connection)
    keys = inspector.get_multi_pk_constraint(schema, names)
    for (_, name), key in sorted(keys.items()):
        yield from _wrong_key(name, key["constrained_columns"])
    if dialect.describes_columns:
        found = inspector.get_multi_columns(schema, names)
        for (_, name), columns in sorted(found.items()):
            for column in columns:
                yield from _wrong_default(connection, name, column)
    for stored in dialect.stored_columns(connection, schema, names):
        yield from _wrong_column(connection, stored)
    yield from dialect.unsafe_tables(connection, schema, names)


def _wrong_key(name: str, found: Sequence[str]) -> Iterator[str]:
    expected = [column.name for column in metadata.tables[name].primary_key]
    if expected != found:
        shown = f"({', '.join(found)})" if found else "missing"
        yield f"The primary key of {name} is {shown}, not ({', '.join(expected)})"


def _wrong_default(
    connection: Connection, table: str, column: ReflectedColumn
) -> Iterator[str]:
    name, found = f"{table}.{column['name']}", column["default"]
    declared = metadata.tables[table].c.get(column["name"])
    if declared is None:  # Alembic tells of it.
        return
    if declared.autoincrement is True and column.get("autoincrement") is False:
        yield f"{name} generates no values"
    default = declared.server_default
    if not isinstance(default, DefaultClause) or isinstance(default.arg, str):
        return
    expected = str(default.arg.compile(dialect=connection.dialect))
    if _plain(expected) != _plain(found or ""):
        shown = "missing" if found is None else found
        yield f"The default of {name} is {shown}, not {expected}"


def _plain(sql: str) -> str:
    """Without what databases write in other ways than they read it."""
    return _NOISE.sub("", sql).lower()


def _wrong_column(connection: Connection, stored: StoredColumn) -> Iterator[str]:
    declared = metadata.tables[stored.table].c.get(stored.column)
    if declared is None:
        return
    name = f"{stored.table}.{stored.column}"
    expected = _COLLATION.search(declared.type.compile(connection.dialect))
    if expected is not None and stored.collation != expected[1]:
        found = stored.collation or "that of the database"
        yield f"The collation of {name} is {found}, not {expected[1]}"
    digits = stored.precision
    if (
        isinstance(declared.type, DateTime)
        and digits is not None
        and digits < PRECISION
    ):
        yield f"{name} keeps {digits} digits of fractions of seconds, not {PRECISION}"
