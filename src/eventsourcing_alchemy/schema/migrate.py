"""The schema's migrations from Python, and for a user's own Alembic environment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from typing import Any

from sqlalchemy import Connection, MetaData, false, inspect, select, table, text
from sqlalchemy.exc import DBAPIError

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.schema.alembic_config import configured
from eventsourcing_alchemy.schema.namespaces import (
    checked_schema,
    default_schema,
    ensure_schema,
    has_schema,
)
from eventsourcing_alchemy.schema.tables import ADDED, metadata

# Alembic takes longer to import than all the rest, and most processes migrate nothing:
# so the functions that use it import it.

VERSION_TABLE = "es_alembic_version"
"""Alembic's record of our revisions, beside which a user's own has room."""


def missing_tables(connection: Connection, schema: str | None) -> list[str]:
    """Return the names of missing tables, in alphabetical order.

    It looks at the tables themselves, whoever created them.

    Args:
        connection: The database.
        schema: The database schema; None for the one that the connection writes to.
            (Other schemas in PostgreSQL's search_path do not count.)

    Raises:
        ConfigurationError: If the database cannot have a schema of that name.
    """
    if schema is None:
        schema = default_schema(connection)
    else:
        with _refusals_told():
            checked_schema(schema, connection.dialect.name)
            is_there = has_schema(connection, schema)
        if not is_there:
            return sorted(metadata.tables)
    present = inspect(connection).get_table_names(schema)
    return sorted(set(metadata.tables).difference(present))


def missing(connection: Connection, schema: str | None) -> list[str]:
    """Return what the database lacks: tables or, where none is missing, columns.

    Args:
        connection: Where to look.
        schema: The database schema, as in `missing_tables()`.

    Raises:
        ConfigurationError: The database can have no schema of that name.
    """
    return missing_tables(connection, schema) or _missing_columns(connection, schema)


def _missing_columns(connection: Connection, schema: str | None) -> list[str]:
    """Return the columns, each as `table.column`, that our tables got later."""
    schema = schema or default_schema(connection)
    return [
        f"{each.name}.{column}"
        for each, added in _added.items()
        for column in sorted(added.difference(_columns(connection, each.name, schema)))
    ]


def _columns(connection: Connection, name: str, schema: str | None) -> set[str]:
    """Return the names of a table's columns; without a right to look, all of them.

    Not by inspection: it warns of the types that some settings of a server make.
    """
    nothing = select(text("*")).select_from(table(name, schema=schema)).where(false())
    try:
        return set(connection.execute(nothing).keys())
    except DBAPIError:
        return set(metadata.tables[name].columns.keys())


_added = {
    each: added
    for each in metadata.sorted_tables
    if (added := {column.name for column in each.columns if column.info == ADDED})
}


@contextmanager
def _refusals_told() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigurationError(f"SQLALCHEMY_SCHEMA: {error}") from None


def upgrade(connection: Connection, schema: str | None) -> None:
    """Bring the tables up to date. Do nothing if no revision is missing.

    Args:
        connection: The database, in a transaction that you began and will commit.
            Guard it by a lock against other processes that do the same. MySQL,
            MariaDB, Oracle, and databases that Alembic does not know, commit it when
            they create a table.
        schema: The database schema; None for the connection's. It is created if it
            is missing and the database can create one.

    Raises:
        ConfigurationError: If the database cannot have such a schema.
        ProgrammingError: If tables are missing that existed, by the version table.
            They may have held events, so they are not silently created again.
    """
    if not missing(connection, schema):
        return
    if schema is not None:
        with _refusals_told():
            ensure_schema(connection, schema)
    to_head(connection, schema)
    if lacking := missing(connection, schema):
        revision = current_revision(connection, schema)
        raise ProgrammingError(
            f"The database is at revision {revision} but lacks {', '.join(lacking)}: "
            "restore these tables, or create them again by 'alembic stamp base' and "
            "'alembic upgrade head'"
        )


def to_head(connection: Connection, schema: str | None) -> None:
    """Run each migration that the version table does not name, if any.

    Args:
        connection: As in `upgrade()`.
        schema: As there.

    Raises:
        ProgrammingError: Alembic refuses.
    """
    from alembic import command

    with configured(connection=connection, schema=schema) as config:
        command.upgrade(config, "heads")


def head_revision() -> str | None:
    """Return the revision that this version of the package needs."""
    return next(iter(revisions()), None)


def revisions() -> list[str]:
    """Return the revisions that this version of the package knows, newest first."""
    from alembic.script import ScriptDirectory

    with configured() as config:
        scripts = ScriptDirectory.from_config(config).walk_revisions()
        return [each.revision for each in scripts]


def differences(connection: Connection, schema: str | None) -> list[str]:
    """Return what differs from the declared tables, in Alembic's words.

    Args:
        connection: Where to look.
        schema: As in `upgrade()`.

    Raises:
        ProgrammingError: Alembic refuses, because the revision is not the head, say.
    """
    from alembic import command
    from alembic.util import AutogenerateDiffsDetected

    with configured(connection=connection, schema=schema) as config:
        try:
            command.check(config)
        except AutogenerateDiffsDetected as error:
            return [repr(each) for each in error.diffs]
        return []


def script() -> str:
    """Return the SQL of all migrations, for the database that SQLALCHEMY_URL names.

    Raises:
        ProgrammingError: The variable, or SQLALCHEMY_SCHEMA, cannot be used.
    """
    from alembic import command

    output = StringIO()
    with configured(output) as config:
        command.upgrade(config, "heads", sql=True)
    return output.getvalue()


def current_revision(connection: Connection, schema: str | None) -> str | None:
    """Return the revision of the schema, or None if the migrations never ran.

    Args:
        connection: The database.
        schema: The database schema; None for the connection's.
    """
    from alembic.runtime.migration import MigrationContext

    from eventsourcing_alchemy.schema.implementations import ensure_implementation

    ensure_implementation(connection.dialect)
    options = {
        "version_table": VERSION_TABLE,
        "version_table_schema": schema or default_schema(connection),
    }
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def include_name(
    name: str | None,
    type_: str,
    parent_names: Mapping[Any, str | None],  # noqa: ARG001
) -> bool:
    """Keep autogeneration in your own Alembic environment off the package's tables.

    Pass it as ``context.configure(include_name=include_name)``, if your
    ``target_metadata`` does not include the package's tables.

    Args:
        name: The name of a schema, table or other object in the database.
        type_: The type of the object, as Alembic calls it.
        parent_names: The names of its schema and table.

    Returns:
        False for the tables of this package and the version table of its migrations.
    """
    return type_ != "table" or (name != VERSION_TABLE and name not in metadata.tables)


def declared(schema: str | None) -> MetaData:
    """Return the package's tables in a database schema.

    Use them in the ``target_metadata`` of an Alembic environment.

    Args:
        schema: The database schema; None for no particular one.
    """
    if schema is None:
        return metadata
    copy = MetaData()
    for each in metadata.sorted_tables:
        each.to_metadata(copy, schema=schema)
    return copy
