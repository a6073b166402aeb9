"""Triggers, as each database declares them."""

from __future__ import annotations

from sqlalchemy import Connection

_DECLARATIONS = {
    "postgresql": [
        """CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN {statement}; RETURN NULL; END $$""",
        """CREATE TRIGGER {name} AFTER INSERT OR UPDATE ON {table}
        FOR EACH ROW EXECUTE FUNCTION {name}()""",
    ],
    "sqlite": ["CREATE TRIGGER {name} AFTER {what} ON {table} BEGIN {statement}; END"],
    "mysql": ["CREATE TRIGGER {name} AFTER {what} ON {table} FOR EACH ROW {statement}"],
}
_DECLARATIONS["mariadb"] = _DECLARATIONS["mysql"]
_DECLARATIONS["plain"] = _DECLARATIONS["postgresql"]


def after_each_row(connection: Connection, table: str, statement: str) -> None:
    """Has the database execute a statement for each row that is written."""
    for declaration in _DECLARATIONS[connection.dialect.name]:
        for what in ("INSERT", "UPDATE") if "{what}" in declaration else ("",):
            text = declaration.format(
                name=f"after_{table}{what}".lower(),
                table=table,
                what=what,
                statement=statement,
            )
            connection.exec_driver_sql(text)
