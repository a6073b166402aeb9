"""Database schemas, created where they are missing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateSchema


class CreateMissingSchema(CreateSchema):
    """CREATE SCHEMA, without effect where the schema exists.

    A comment where schemas are not created in SQL (SQLite attaches files, Oracle's
    are users), so that a script says what is expected.
    """

    inherit_cache = False

    def __init__(self, name: str) -> None:
        super().__init__(name, if_not_exists=True)


@compiles(CreateMissingSchema, "mssql")
def _mssql(create: CreateMissingSchema, compiler: Any, **_: Any) -> str:
    # CREATE SCHEMA must be alone in its batch there.
    literal = create.element.replace("'", "''")
    quoted = compiler.preparer.format_schema(create.element).replace("'", "''")
    return f"IF SCHEMA_ID(N'{literal}') IS NULL EXEC(N'CREATE SCHEMA {quoted}')"


@compiles(CreateMissingSchema, "sqlite", "oracle")
def _elsewhere(create: CreateMissingSchema, compiler: Any, **_: Any) -> str:
    return f"-- schema {compiler.preparer.format_schema(create.element)} must exist"


def ensure_schema(connection: Connection, schema: str) -> None:
    """Create the schema unless it is there.

    Needs no privilege where the schema exists.

    Args:
        connection: Where to; its transaction is left open.
        schema: Name of the schema (of the database, on MySQL and MariaDB).
    """
    if not inspect(connection).has_schema(schema):
        connection.execute(CreateMissingSchema(schema))
