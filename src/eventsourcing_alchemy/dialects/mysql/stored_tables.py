"""Which tables cannot roll back or store every text, and which databases have them."""

from collections.abc import Collection, Iterator

from sqlalchemy import Connection, bindparam, text

from eventsourcing_alchemy.dialects.base.stored_tables import InformationSchema

_TABLES = text(
    """
    SELECT table_name, engine FROM information_schema.tables
    WHERE table_schema = :schema AND table_name IN :tables AND engine <> 'InnoDB'
    ORDER BY table_name
    """
).bindparams(bindparam("tables", expanding=True))

# Those of other types have a collation, which is compared.
_COLUMNS = text(
    """
    SELECT table_name, column_name, character_set_name FROM information_schema.columns
    WHERE table_schema = :schema AND table_name IN :tables
        AND data_type = 'longtext' AND character_set_name <> 'utf8mb4'
    ORDER BY table_name, ordinal_position
    """
).bindparams(bindparam("tables", expanding=True))

_SCHEMAS_OF_COLUMN = text(
    """
    SELECT table_schema FROM information_schema.columns
    WHERE table_name = :table AND column_name = :column
        AND table_schema <> coalesce(:schema, database())
        AND find_in_set('select', privileges)
    ORDER BY table_schema
    """
)


class MySQLStoredTables(InformationSchema):
    """Tables have an engine, and columns a character set."""

    schemas_of_column = _SCHEMAS_OF_COLUMN

    def unsafe_tables(
        self, connection: Connection, schema: str | None, tables: Collection[str]
    ) -> Iterator[str]:
        """Those of other engines than InnoDB, or other sets of characters."""
        schema = schema or connection.dialect.default_schema_name
        parameters = {"schema": schema, "tables": list(tables)}
        for name, engine in connection.execute(_TABLES, parameters):
            yield f"{name} is of the engine {engine}, not InnoDB"
        for name, column, found in connection.execute(_COLUMNS, parameters):
            yield f"{name}.{column} is in the character set {found}, not utf8mb4"
