"""Which tables a crash would empty, and which schemas have a table."""

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, bindparam, text

from eventsourcing_alchemy.dialects.base.stored_tables import InformationSchema

_UNLOGGED = text(
    """
    SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = :schema AND relname IN :tables AND relpersistence = 'u'
    ORDER BY relname
    """
).bindparams(bindparam("tables", expanding=True))

# Temporary tables are of other sessions, which alone can read them.
_SCHEMAS_OF_COLUMN = text(
    """
    SELECT nspname FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relname = :table AND attname = :column AND NOT attisdropped
        AND relkind IN ('r', 'p') AND relpersistence <> 't'
        AND nspname <> coalesce(CAST(:schema AS text), current_schema())
        AND has_schema_privilege(relnamespace, 'USAGE')
        AND has_column_privilege(attrelid, attnum, 'SELECT')
    ORDER BY nspname
    """
)


class PostgreSQLStoredTables(InformationSchema):
    """Tables may be unlogged."""

    schemas_of_column = _SCHEMAS_OF_COLUMN

    def unsafe_tables(
        self, connection: Connection, schema: str | None, tables: Collection[str]
    ) -> Iterator[str]:
        """Those of which a crash leaves nothing."""
        parameters = {"schema": schema, "tables": list(tables)}
        for name in connection.scalars(_UNLOGGED, parameters):
            yield f"{name} is UNLOGGED, so a crash of the server empties it"
