"""Database schemas: the names that they can have, and how they are created."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateSchema

_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")


def checked_schema(schema: str, backend: str) -> str:
    """Return the name, if the database takes it as it is, and so do scripts.

    Args:
        schema: Name of a schema.
        backend: SQLAlchemy's name of the database, as in a URL.

    Raises:
        ValueError: The name would be cut, changed or refused.
    """
    problem = _problem(schema, backend)
    if problem is not None:
        raise ValueError(f"{schema!r} {problem}: choose another name")
    return schema


def _problem(schema: str, backend: str) -> str | None:
    if _UNPRINTABLE.search(schema):
        return "contains a control character, or half of a surrogate pair"
    problem_there = _PROBLEMS.get(backend)
    return None if problem_there is None else problem_there(schema)


def _postgresql_problem(schema: str) -> str | None:
    size = len(schema.encode())
    if size > 63:
        return f"has {size} bytes in UTF-8, and PostgreSQL cuts names after 63"
    # SQLAlchemy misreads the names of the sequences in such a schema.
    return "contains ', with which 'alembic check' fails" if "'" in schema else None


def _mysql_problem(schema: str) -> str | None:
    if len(schema) > 64:
        return f"has {len(schema)} characters, of which MySQL and MariaDB allow 64"
    if schema and max(schema) > "\uffff":
        return f"contains {max(schema)!r}, which MySQL and MariaDB allow in no name"
    return None


_PROBLEMS: Mapping[str, Callable[[str], str | None]] = {
    "postgresql": _postgresql_problem,
    "mysql": _mysql_problem,
    "mariadb": _mysql_problem,
}


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


def has_schema(connection: Connection, schema: str) -> bool:
    """Return whether there is a schema of that name.

    Args:
        connection: Where to look.
        schema: Name of the schema.

    Raises:
        ValueError: The database has no schemas.
    """
    try:
        return inspect(connection).has_schema(schema)
    except NotImplementedError:
        raise ValueError(
            f"{schema!r}: SQLAlchemy supports no schemas on this database: leave the "
            "variable unset"
        ) from None


def ensure_schema(connection: Connection, schema: str) -> None:
    """Create the schema unless it is there.

    Needs no privilege where the schema exists.

    Args:
        connection: Where to; its transaction is left open.
        schema: Name of the schema (of the database, on MySQL and MariaDB).

    Raises:
        ValueError: It is missing, and is nothing that SQL can create there.
    """
    if has_schema(connection, schema):
        return
    connection.execute(CreateMissingSchema(schema))
    if not inspect(connection).has_schema(schema):
        raise ValueError(
            f"unknown database {schema}, which cannot be created by SQL here: attach "
            "or create it, or leave the variable unset"
        )


def default_schema(connection: Connection) -> str | None:
    """Return the name of the schema that tables are created in, where none is named.

    Args:
        connection: Where to ask.

    Returns:
        None where tables are found in no other schema than that.
    """
    if not isinstance(connection.dialect, PGDialect):
        return None
    # Not the dialect's default_schema_name, which is that of an engine's first session.
    return connection.scalar(select(func.current_schema()))
