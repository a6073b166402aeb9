"""Triggers, cascades, and functions of Python."""

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.base.side_effects import SideEffects

_OBJECTS = """
    SELECT type, lower(sql) FROM {master}
    WHERE tbl_name = :table COLLATE NOCASE AND sql IS NOT NULL
"""
_CASCADES = """
    SELECT 'cascade', '' FROM {master} AS m, pragma_foreign_key_list(m.name) AS f
    WHERE m.type = 'table' AND f."table" = :table COLLATE NOCASE
    AND f.on_update NOT IN ('NO ACTION', 'RESTRICT')
"""
_FUNCTIONS = text("SELECT DISTINCT name FROM pragma_function_list WHERE NOT builtin")


class SQLiteSideEffects(SideEffects):
    """Triggers, cascades, and functions of Python."""

    def has_side_effects(
        self, connection: Connection, table: str, schema: str | None
    ) -> bool:
        """Whether it has triggers, cascades, or calls a function of the connection."""
        quoted = connection.dialect.identifier_preparer.quote_identifier
        master = f"{quoted(schema or 'main')}.sqlite_master"
        statements = [
            each.format(master=name)
            for name in (master, "sqlite_temp_master")
            for each in (_OBJECTS, _CASCADES)
        ]
        found = connection.execute(
            text(" UNION ALL ".join(statements)), {"table": table}
        ).all()
        is_table = [kind for kind, _ in found if kind != "index"] == ["table"]
        functions = connection.scalars(_FUNCTIONS).all()
        return not is_table or any(
            sql.startswith("create virtual") or any(name in sql for name in functions)
            for _, sql in found
        )
