"""Which tables a crash would empty."""

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


class PostgreSQLStoredTables(InformationSchema):
    """Tables may be unlogged."""

    def unsafe_tables(
        self, connection: Connection, schema: str | None, tables: Collection[str]
    ) -> Iterator[str]:
        """Those of which a crash leaves nothing."""
        parameters = {"schema": schema, "tables": list(tables)}
        for name in connection.scalars(_UNLOGGED, parameters):
            yield f"{name} is UNLOGGED, so a crash of the server empties it"
