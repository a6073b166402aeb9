"""Positions in other schemas, whose projections may use the same tables."""

from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Table, select
from sqlalchemy.exc import DBAPIError

from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.schema.namespaces import default_schema
from eventsourcing_alchemy.schema.tables import tracking
from eventsourcing_alchemy.upserts.plans import SCHEMAS


def tables_for_all(connection: Connection, in_use: ViewInUse) -> Sequence[Table]:
    """Tables of the view that are the same ones whatever schema our tables are in.

    Args:
        connection: where to look.
        in_use: the view in use.
    """
    metadata, store = in_use.view_class.metadata, in_use.recorder.datastore
    schema = store.schema or default_schema(connection)
    return [
        table
        for table in (() if metadata is None else metadata.sorted_tables)
        if (store.schema_of(table) or schema) != schema
        # Or it is in ours, by its declaration: who has another one finds it there, too.
        or (table.schema is not None and table.schema not in store.schemas)
    ]


def positions_elsewhere(
    connection: Connection, in_use: ViewInUse
) -> Iterator[tuple[str, Sequence[str]]]:
    """Names of the projections that have a position in another schema.

    Schemas in which the role may not read positions are left out.

    Args:
        connection: where to look.
        in_use: the view in use.

    Yields:
        Each other schema, with the names.
    """
    for schema in _other_schemas(connection, in_use):
        try:
            with connection.begin_nested():
                names = _projections(connection, schema)
        except DBAPIError:
            if schema in _other_schemas(connection, in_use):
                raise
            continue  # It was dropped meanwhile.
        yield schema, names


def _other_schemas(connection: Connection, in_use: ViewInUse) -> Sequence[str]:
    store, column = in_use.recorder.datastore, tracking.c.projection_name
    return store.dialect.other_schemas(connection, store.schema, column)


def _projections(connection: Connection, schema: str) -> Sequence[str]:
    query = select(tracking.c.projection_name).distinct()
    there = {SCHEMAS: {None: schema}}
    return sorted(connection.scalars(query, execution_options=there))
