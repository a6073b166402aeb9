"""Triggers, cascades, functions of Python, and conflicts that replace or ignore."""

import re

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

_ACTS_BY_ITSELF = re.compile(r"create\s+virtual\b|.*\bon\s+conflict\b", re.S)
"""Of a constraint: another row is deleted, or this one is not written."""


class SQLiteSideEffects(SideEffects):
    """Triggers, cascades, functions of Python, and conflicts that replace or ignore."""

    def has_side_effects(
        self, connection: Connection, table: str, schema: str | None
    ) -> bool:
        """Whether it has any of these, or is anything else than a table."""
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
            _ACTS_BY_ITSELF.match(sql) or any(name in sql for name in functions)
            for _, sql in found
        )
