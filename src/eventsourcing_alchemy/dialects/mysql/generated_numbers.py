"""The numbers that a database has generated for a column."""

from typing import Any

from sqlalchemy import Column, Connection, text

from eventsourcing_alchemy.dialects.base.generated_numbers import GeneratedNumbers

_NEXT = text("""
    SELECT t.auto_increment FROM information_schema.tables AS t
    JOIN information_schema.columns AS c
    ON c.table_schema = t.table_schema AND c.table_name = t.table_name
    WHERE t.table_schema = coalesce(:schema, database()) AND t.table_name = :table
    AND c.column_name = :column AND c.extra LIKE '%auto_increment%'
""")


class MySQLGeneratedNumbers(GeneratedNumbers):
    """By AUTO_INCREMENT."""

    def last_generated(
        self, connection: Connection, column: Column[Any], schema: str | None
    ) -> int:
        """The one before the next. MySQL may tell one of a day before."""
        parameters = {
            "schema": schema,
            "table": column.table.name,
            "column": column.name,
        }
        following: int | None = connection.scalar(_NEXT, parameters)
        return following - 1 if following else 0
