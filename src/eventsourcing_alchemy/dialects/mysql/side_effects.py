"""Triggers, cascades, and SQL modes."""

from typing import Any

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.base.side_effects import SideEffects

_PLAIN_TABLES = text("""
    SELECT count(*) FROM information_schema.tables AS t
    WHERE t.table_schema = coalesce(:schema, database()) AND t.table_name = :table
    AND t.table_type = 'BASE TABLE' AND t.engine = 'InnoDB' AND NOT EXISTS (
        SELECT 1 FROM information_schema.triggers AS g
        WHERE g.trigger_schema = coalesce(:schema, database())
        AND g.event_object_table = :table)
    AND NOT EXISTS (
        SELECT 1 FROM information_schema.referential_constraints AS r
        WHERE r.constraint_schema = coalesce(:schema, database())
        AND r.update_rule NOT IN ('NO ACTION', 'RESTRICT')
        AND (r.referenced_table_name = :table
            OR r.table_name = :table
            AND r.unique_constraint_schema <> r.constraint_schema))
    AND @@sql_mode REGEXP 'STRICT_(TRANS|ALL)_TABLES'
""")
"""Defaults and constraints call no stored functions.

Each query is about one schema: otherwise, the server opens the tables of all. So where
a table is referred to from another schema, it is the other table that counts.

Where the mode or the engine is not strict, a NULL that a column cannot take becomes 0,
but only in a statement of several rows.
"""


class MySQLSideEffects(SideEffects):
    """Triggers, cascades, and SQL modes."""

    def has_side_effects(
        self, connection: Connection, table: str, schema: str | None
    ) -> bool:
        """Whether it is no plain table, or has triggers or cascades."""
        parameters: dict[str, Any] = {"table": table, "schema": schema}
        return not connection.scalar(_PLAIN_TABLES, parameters)
