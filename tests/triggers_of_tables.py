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

_REFUSALS = {
    "postgresql": "IF {condition} THEN RAISE insufficient_privilege; END IF",
    "sqlite": "SELECT RAISE(ABORT, 'refused') WHERE {condition}",
    "mysql": "IF {condition} THEN SIGNAL SQLSTATE '42000'; END IF",
}
_REFUSALS["mariadb"] = _REFUSALS["mysql"]
_REFUSALS["plain"] = _REFUSALS["postgresql"]


def refuse_rows(connection: Connection, table: str, condition: str) -> None:
    """Has the database refuse rows as those that a role has no right to write."""
    statement = _REFUSALS[connection.dialect.name].format(condition=condition)
    after_each_row(connection, table, statement)


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
