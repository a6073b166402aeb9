"""Alembic's entry: connects the migrations to a database, or to a script of SQL."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from logging.config import fileConfig
from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.host import OperationalError
from eventsourcing_alchemy.schema.implementations import (
    committing_ddl,
    ensure_implementation,
)
from eventsourcing_alchemy.schema.migrate import VERSION_TABLE, declared
from eventsourcing_alchemy.schema.namespaces import (
    CreateMissingSchema,
    checked_schema,
    default_schema,
    ensure_schema,
)
from eventsourcing_alchemy.schema.tables import metadata
from eventsourcing_alchemy.settings import DEFAULT_URL


def main() -> None:
    """Run Alembic's command: on a caller's connection, offline, or on a database."""
    attributes = context.config.attributes
    # Without spaces around it, as applications read it.
    given = os.environ.get("SQLALCHEMY_SCHEMA", "").strip()
    # The revisions look there, too.
    schema = attributes["schema"] = attributes.get("schema", given) or None
    if (connection := attributes.get("connection")) is not None:
        run_on(connection, schema)
        return
    configure_logging()
    url = database_url()
    if context.is_offline_mode():
        run_offline(url, schema)
        return
    # Alembic does not commit what runs in a transaction of ours.
    with connect(url) as connection, connection.begin():
        run_on(connection, schema, taking_turns)


@contextmanager
def taking_turns(connection: Connection) -> Iterator[None]:
    """Wait for others who migrate the database, and make them wait."""
    try:
        with dialect_of(connection).migrating(connection):
            yield
    except OperationalError as error:
        raise CommandError(str(error)) from error


def connect(url: URL) -> Connection:
    """Connect, or say in one line why not."""
    try:
        return create_engine(url, poolclass=NullPool).connect()
    except (DBAPIError, ImportError) as error:
        reason = getattr(error, "orig", error)
        raise CommandError(f"Cannot connect to the database: {reason}") from None


def database_url() -> URL:
    """Return the URL of the environment; a configuration file would expand its %."""
    try:
        return normalise_url(os.environ.get("SQLALCHEMY_URL") or DEFAULT_URL)
    except ValueError as error:
        raise CommandError(f"SQLALCHEMY_URL: {error}") from None


def run_on(
    connection: Connection,
    schema: str | None,
    guard: Callable[[Connection], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Run on a connection that is in a transaction, which is left open."""
    default = connection.dialect.default_schema_name
    check(schema, connection.dialect.name)
    # The revisions look there, too.
    schema = context.config.attributes["schema"] = schema or default_schema(connection)
    ensure_implementation(connection.dialect)
    context.configure(
        connection=connection,
        target_metadata=declared(schema),
        version_table=VERSION_TABLE,
        version_table_schema=schema,
        # Alembic knows the default schema by no name, also where it was given one.
        **only_ours_in(None if schema == default else schema),
    )
    reads_only = context.get_context().opts.get("dont_mutate", False)
    with nullcontext() if reads_only else guard(connection):
        if schema is not None and not reads_only:
            # Before anything else, because Alembic's version table is in it.
            with refusals_told():
                ensure_schema(connection, schema)
        with committing_ddl(connection):
            context.run_migrations()


def check(schema: str | None, backend: str) -> None:
    """Refuse a name that the database would change, before it does."""
    if schema is not None:
        with refusals_told():
            checked_schema(schema, backend)


@contextmanager
def refusals_told() -> Iterator[None]:
    """Say in one line what is wrong with the schema."""
    try:
        yield
    except ValueError as error:
        raise CommandError(f"SQLALCHEMY_SCHEMA: {error}") from None


def only_ours_in(schema: str | None) -> dict[str, Any]:
    """Return the options that keep autogeneration to our tables in that schema."""

    def include_name(name: str | None, type_: str, _parents: Any) -> bool:
        if type_ == "schema":
            return name == schema
        return type_ != "table" or name in metadata.tables

    return {"include_schemas": schema is not None, "include_name": include_name}


def run_offline(url: URL, schema: str | None) -> None:
    """Print the SQL. Needs the name of the database only, neither driver nor server."""
    check(schema, url.get_backend_name())
    ensure_implementation(url.get_dialect()())
    context.configure(
        dialect_name=url.drivername,
        # Others would double each % of a name, because drivers halve them.
        dialect_opts={"paramstyle": "named"},
        literal_binds=True,
        version_table=VERSION_TABLE,
        version_table_schema=schema,
    )
    # Nobody reads what Alembic's INSERT would return, and Oracle could not say it.
    context.get_context().dialect.insert_returning = False
    with context.begin_transaction():
        if schema is not None:
            context.execute(CreateMissingSchema(schema))
        context.run_migrations()


def configure_logging() -> None:
    """Configure logging as the configuration file says, if it says so."""
    file = context.config.config_file_name
    if file is not None and context.config.file_config.has_section("loggers"):
        fileConfig(file, disable_existing_loggers=False)


main()
