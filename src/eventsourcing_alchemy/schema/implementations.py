"""Alembic on databases that it does not know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from alembic.ddl.base import AddColumn, DropColumn, alter_table, format_column_name
from alembic.ddl.impl import DefaultImpl
from sqlalchemy import Connection, Dialect, event
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import ExecutableDDLElement


class _UnknownDatabase(DefaultImpl):
    """Does what Alembic does by default."""


def ensure_implementation(dialect: Dialect) -> None:
    """Let Alembic work on a database, if nobody has told it how.

    Args:
        dialect: Of the database.
    """
    try:
        DefaultImpl.get_by_dialect(dialect)
    except KeyError:
        # Alembic registers the class by this attribute.
        type("Implementation", (_UnknownDatabase,), {"__dialect__": dialect.name})
        compiles(AddColumn, dialect.name)(_add_column)
        compiles(DropColumn, dialect.name)(_drop_column)


def _add_column(element: AddColumn, compiler: Any, **_: Any) -> str:
    # Standard SQL leaves the word COLUMN out, and so must some databases.
    table = alter_table(compiler, element.table_name, element.schema)
    return f"{table} ADD {compiler.get_column_specification(element.column)}"


def _drop_column(element: DropColumn, compiler: Any, **_: Any) -> str:
    table = alter_table(compiler, element.table_name, element.schema)
    return f"{table} DROP {format_column_name(compiler, element.column.name)}"


@contextmanager
def committing_ddl(connection: Connection) -> Iterator[None]:
    """Commit each CREATE and DROP in the block, if nobody knows a better way.

    Some databases let nobody use a table, not even its creator, before that. Others
    could take it back, but do not mind.

    Args:
        connection: In a transaction of SQLAlchemy's, which goes on.
    """
    if not issubclass(DefaultImpl.get_by_dialect(connection.dialect), _UnknownDatabase):
        yield
        return

    def commit(_: Connection, executed: Any, *__: Any) -> None:
        if isinstance(executed, ExecutableDDLElement):
            connection.connection.commit()

    event.listen(connection, "after_execute", commit)
    try:
        yield
    finally:
        event.remove(connection, "after_execute", commit)
