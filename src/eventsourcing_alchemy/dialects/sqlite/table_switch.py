"""Tables that are replaced in a transaction; their indexes are made again."""

from collections.abc import Collection, Iterator, Sequence
from typing import ClassVar

from sqlalchemy import Connection, Index, Table, text
from sqlalchemy.schema import CreateIndex

from eventsourcing_alchemy.dialects.base.table_switch import (
    Switch,
    SwitchedTable,
    TableSwitch,
    declared_name,
    quoted,
)

_OBJECTS = """
    SELECT type, name, tbl_name, lower(sql) FROM {master}
    WHERE type IN ('view', 'trigger')
"""
_FOREIGN_KEYS = """
    SELECT m.name, f."table" FROM {master} AS m,
    pragma_foreign_key_list(m.name, '{schema}') AS f WHERE m.type = 'table'
"""


class SQLiteTableSwitch(TableSwitch):
    """Readers keep what they see; the file has one writer anyway."""

    switches_tables = True
    shared_names: ClassVar[Collection[str]] = ("index",)

    def dependents(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> Sequence[str]:
        """Views and triggers that name the tables, and foreign keys of others."""
        by_schema: dict[str, set[str]] = {}
        for schema, name in tables:
            by_schema.setdefault(schema or "main", set()).add(name)
        return [
            found
            for schema, names in by_schema.items()
            for found in _dependents(connection, schema, names)
        ]

    def empty_tables(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Foreign keys, if they are checked at all, are checked by COMMIT."""
        _defer_foreign_keys(connection)
        super().empty_tables(connection, tables)

    def switch(self, connection: Connection, switch: Switch) -> None:
        """Drops or renames the tables, then renames the new ones."""
        _defer_foreign_keys(connection)
        for each in reversed(switch.present):
            name = quoted(connection, each.schema, each.table.name)
            if switch.keeps_old:
                old = quoted(connection, None, each.old)
                _drop_indexes(connection, each.schema, each.table.name)
                connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {old}")
            else:
                connection.exec_driver_sql(f"DROP TABLE {name}")
        for each in switch.tables:
            new = quoted(connection, each.schema, each.new)
            name = quoted(connection, None, each.table.name)
            connection.exec_driver_sql(f"ALTER TABLE {new} RENAME TO {name}")
        for each in switch.tables:
            for index in each.table.indexes:
                _rename(connection, switch, each, index)


def _defer_foreign_keys(connection: Connection) -> None:
    """Until the end of the transaction."""
    connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")


def _dependents(
    connection: Connection, schema: str, names: Collection[str]
) -> Iterator[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    master = f"{quote(schema)}.sqlite_master"
    lowered = {name.lower() for name in names}
    found = connection.execute(text(_OBJECTS.format(master=master)))
    for kind, name, table, sql in found:
        words = set(_words(sql))
        if table.lower() in lowered or words & lowered:
            yield f"{kind} {name}"
    keys = connection.execute(
        text(_FOREIGN_KEYS.format(master=master, schema=schema.replace("'", "''")))
    )
    for name, referred in keys:
        if referred.lower() in lowered and name.lower() not in lowered:
            yield f"foreign key of table {name}"


def _words(sql: str) -> Iterator[str]:
    word = ""
    for letter in f"{sql} ":
        if letter.isalnum() or letter in "_$":
            word += letter
        elif word:
            yield word
            word = ""


def _indexes(connection: Connection, schema: str | None, table: str) -> Collection[str]:
    quote = connection.dialect.identifier_preparer.quote_identifier
    master = f"{quote(schema or 'main')}.sqlite_master"
    query = text(
        f"SELECT name FROM {master} WHERE type = 'index' AND tbl_name = :table "  # noqa: S608
        f"AND sql IS NOT NULL"
    )
    return connection.scalars(query, {"table": table}).all()


def _drop_indexes(connection: Connection, schema: str | None, table: str) -> None:
    for name in _indexes(connection, schema, table):
        connection.exec_driver_sql(f"DROP INDEX {quoted(connection, schema, name)}")


def _rename(
    connection: Connection, switch: Switch, each: SwitchedTable, index: Index
) -> None:
    """SQLite cannot rename an index."""
    schema = each.schema
    new = switch.new(str(declared_name(switch.dialect, index)))
    # Some are declared for other databases only.
    if new not in _indexes(connection, schema, each.table.name):
        return
    connection.exec_driver_sql(f"DROP INDEX {quoted(connection, schema, new)}")
    statement = CreateIndex(index).compile(
        dialect=switch.dialect, schema_translate_map=switch.schemas or None
    )
    connection.exec_driver_sql(str(statement))
