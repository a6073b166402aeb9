"""The schema's migrations from Python, and for a user's own Alembic environment."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from eventsourcing.persistence import ProgrammingError
from sqlalchemy import Connection, MetaData, inspect

from eventsourcing_alchemy.dialects.schemas import checked_schema
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.tables import metadata

VERSION_TABLE = "es_alembic_version"
"""Alembic's record of our revisions, beside which a user's own has room."""

# Alembic keeps the context of the running migration in module globals.
_alembic = threading.Lock()


def _renew_lock() -> None:
    global _alembic
    _alembic = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


def missing_tables(connection: Connection, schema: str | None) -> list[str]:
    """Return the names of the tables that the database lacks, in alphabetical order.

    Told from the tables themselves, whoever made them.

    Args:
        connection: Where to look.
        schema: The database schema, by default the connection's.

    Raises:
        ConfigurationError: The database can have no schema of that name.
    """
    inspector = inspect(connection)
    if schema is not None and not inspector.has_schema(_checked(schema, connection)):
        return sorted(metadata.tables)
    return sorted(set(metadata.tables).difference(inspector.get_table_names(schema)))


def _checked(schema: str, connection: Connection) -> str:
    try:
        return checked_schema(schema, connection.dialect.name)
    except ValueError as error:
        raise ConfigurationError(f"SQLALCHEMY_SCHEMA: {error}") from None


def upgrade(connection: Connection, schema: str | None) -> None:
    """Bring the schema up to date; without effect where no table is missing.

    Args:
        connection: Where to, in a transaction that the caller began, commits, and
            guards by a lock against other processes that do the same. Beware that
            MySQL, MariaDB and Oracle commit it when tables are created.
        schema: The database schema, by default the connection's. Created where it is
            missing and the database can create one.

    Raises:
        ProgrammingError: Tables are missing that, by the version table, were there.
            They may have held events, so they are not silently made again.
    """
    if not missing_tables(connection, schema):
        return
    with as_file(files("eventsourcing_alchemy.migrations")) as scripts, _alembic:
        config = Config(attributes={"connection": connection, "schema": schema})
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        try:
            command.upgrade(config, "heads")
        except CommandError as error:
            raise ProgrammingError(f"Cannot migrate the database: {error}") from error
    if missing := missing_tables(connection, schema):
        raise ProgrammingError(
            f"The database is at revision {current(connection, schema)} and yet lacks "
            f"the tables {', '.join(missing)}: restore them, or have them made anew by "
            "'alembic stamp base' and 'alembic upgrade head'"
        )


def current(connection: Connection, schema: str | None) -> str | None:
    """Return the revision of the schema, or None if our environment never made it.

    Args:
        connection: Where to look.
        schema: The database schema, by default the connection's.
    """
    options = {"version_table": VERSION_TABLE, "version_table_schema": schema}
    return MigrationContext.configure(connection, opts=options).get_current_revision()


def include_name(
    name: str | None,
    type_: str,
    parent_names: Mapping[Any, str | None],  # noqa: ARG001
) -> bool:
    """Keep the autogeneration of a user's own Alembic environment off our tables.

    For ``context.configure(include_name=include_name)``, in an environment whose
    ``target_metadata`` does not include ours.

    Args:
        name: Name of a schema, table or other thing that was found in the database.
        type_: What it is, in Alembic's words.
        parent_names: The names of its schema and table.

    Returns:
        False for the tables of this package and the version table of its migrations.
    """
    return type_ != "table" or (name != VERSION_TABLE and name not in metadata.tables)


def declared(schema: str | None) -> MetaData:
    """Return the tables in the given database schema.

    For the ``target_metadata`` of an Alembic environment.

    Args:
        schema: The database schema, by default none in particular.
    """
    if schema is None:
        return metadata
    copy = MetaData()
    for table in metadata.sorted_tables:
        table.to_metadata(copy, schema=schema)
    return copy
