"""Triggers, and SQL modes."""

from typing import Any

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.base.side_effects import SideEffects

_PLAIN_TABLES = text("""
    SELECT count(*) FROM information_schema.tables AS t
    WHERE t.table_schema = coalesce(:schema, database()) AND t.table_name = :table
    AND t.table_type = 'BASE TABLE' AND t.engine = 'InnoDB' AND NOT EXISTS (
        SELECT 1 FROM information_schema.triggers AS g
        WHERE g.event_object_schema = t.table_schema
        AND g.event_object_table = t.table_name)
    AND @@sql_mode REGEXP 'STRICT_(TRANS|ALL)_TABLES'
""")
"""Defaults and constraints call no stored functions, and cascades fire no triggers.

Where the mode or the engine is not strict, a NULL that a column cannot take becomes 0,
but only in a statement of several rows.
"""


class MySQLSideEffects(SideEffects):
    """Triggers, and SQL modes."""

    def has_side_effects(
        self, connection: Connection, table: str, schema: str | None
    ) -> bool:
        """Whether it is a view, is temporary, has triggers, or takes wrong values."""
        parameters: dict[str, Any] = {"table": table, "schema": schema}
        return not connection.scalar(_PLAIN_TABLES, parameters)
