"""How the database keeps tables: what decides which texts are equal, say."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, ClassVar, NamedTuple

from sqlalchemy import Column, Connection, TextClause, bindparam, text


class StoredColumn(NamedTuple):
    """A column, as the database keeps it.

    Attributes:
        table: its table.
        column: its name.
        collation: of its texts; None for the usual one, or if it has none.
        precision: digits of fractions of seconds; None if it has none.
    """

    table: str
    column: str
    collation: str | None
    precision: int | None


class StoredTables:
    """How the database keeps tables."""

    describes_columns = False
    """Whether it tells defaults and columns as they were declared."""

    def stored_columns(
        self,
        connection: Connection,  # noqa: ARG002
        schema: str | None,  # noqa: ARG002
        tables: Collection[str],  # noqa: ARG002
    ) -> Sequence[StoredColumn]:
        """The columns of tables, as far as the database describes them.

        Args:
            connection: where to look.
            schema: of the tables.
            tables: names.
        """
        return ()

    def unsafe_tables(
        self,
        connection: Connection,  # noqa: ARG002
        schema: str | None,  # noqa: ARG002
        tables: Collection[str],  # noqa: ARG002
    ) -> Iterator[str]:
        """What is wrong with the way in which tables are kept.

        Args:
            connection: where to look.
            schema: of the tables.
            tables: names.

        Yields:
            Sentences that begin with the name of a table.
        """
        yield from ()

    def other_schemas(
        self,
        connection: Connection,  # noqa: ARG002
        schema: str | None,  # noqa: ARG002
        column: Column[Any],  # noqa: ARG002
    ) -> Sequence[str]:
        """Schemas, except one, with a table that has a column which the role may read.

        Args:
            connection: where to look.
            schema: the exception; None for the connection's.
            column: of a table.
        """
        return ()


_COLUMNS = text(
    """
    SELECT table_name, column_name, collation_name, datetime_precision
    FROM information_schema.columns
    WHERE table_schema = :schema AND table_name IN :tables
    ORDER BY table_name, ordinal_position
    """
).bindparams(bindparam("tables", expanding=True))


class InformationSchema(StoredTables):
    """How a database keeps tables that tells it in `information_schema`.

    Attributes:
        schemas_of_column: selects the schemas, except `:schema`, in which the role may
            read the `:column` of a `:table`.
    """

    describes_columns = True
    schemas_of_column: ClassVar[TextClause]

    def stored_columns(
        self, connection: Connection, schema: str | None, tables: Collection[str]
    ) -> Sequence[StoredColumn]:
        """From `information_schema.columns`."""
        schema = schema or connection.dialect.default_schema_name
        parameters = {"schema": schema, "tables": list(tables)}
        return [StoredColumn(*row) for row in connection.execute(_COLUMNS, parameters)]

    def other_schemas(
        self, connection: Connection, schema: str | None, column: Column[Any]
    ) -> Sequence[str]:
        """Those that it shows to the role."""
        names = {"table": column.table.name, "column": column.name}
        found = connection.scalars(self.schemas_of_column, {"schema": schema, **names})
        return found.all()
