"""The numbers that a database has generated for a column, by its sequence."""

from typing import Any

from sqlalchemy import Column, Connection, text

from eventsourcing_alchemy.dialects.base.generated_numbers import GeneratedNumbers

_LAST = text("""
    SELECT CASE WHEN has_sequence_privilege(sequence, 'SELECT, USAGE')
        THEN pg_sequence_last_value(sequence::regclass) END
    FROM pg_get_serial_sequence(:table, :column) AS sequence
""")


class PostgreSQLGeneratedNumbers(GeneratedNumbers):
    """By the sequence that belongs to the column."""

    def last_generated(
        self, connection: Connection, column: Column[Any], schema: str | None
    ) -> int:
        """What the sequence says, if there is one that may be looked at."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        names = (schema, column.table.name)
        table = ".".join(quote(name) for name in names if name)
        parameters = {"table": table, "column": column.name}
        return connection.scalar(_LAST, parameters) or 0
