"""How tables get other names, and with them all that belongs to them."""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.base.table_switch import (
    Switch,
    SwitchedTable,
    declared_name,
    quoted,
)
from eventsourcing_alchemy.dialects.postgresql.generated_names import renamed

_CONSTRAINTS = text("""
    SELECT conname, contype::text, ARRAY(
        SELECT attname::text FROM unnest(conkey) WITH ORDINALITY AS k(number, n)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number ORDER BY n)
    FROM pg_constraint WHERE conrelid = to_regclass(:name)
    AND contype IN ('p', 'u', 'x', 'f', 'c', 'n') ORDER BY length(conname), conname
""")
_INDEXES = text("""
    SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
    WHERE indrelid = to_regclass(:name) AND NOT EXISTS (
        SELECT FROM pg_constraint
        WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
""")
SEQUENCES = text("""
    SELECT s.relname, a.attname::text FROM pg_depend AS d
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = to_regclass(:name) AND d.deptype IN ('a', 'i')
""")


def run(connection: Connection, statement: str) -> None:
    """Executes a statement, in whose names the driver looks for no parameters."""
    options = {"no_parameters": True}
    connection.exec_driver_sql(statement, execution_options=options)


def name_in_sql(connection: Connection, schema: str | None, name: str) -> str:
    """A name for `run()`, or for a parameter."""
    is_doubled = quoted(connection, None, "%") == '"%%"'
    found = quoted(connection, schema, name)
    return found.replace("%%", "%") if is_doubled else found


def rename_all(connection: Connection, switch: Switch, *, is_old: bool) -> None:
    """Renames the tables of a view.

    Args:
        connection: holds the locks on the tables.
        switch: the tables.
        is_old: whether those in use get the names of old ones, or the new ones theirs.
    """
    # The new ones are to get the names that those which are kept have now.
    taken = _given_names(connection, switch) if is_old else set()
    for each in switch.present if is_old else switch.tables:
        before = each.table.name if is_old else each.new
        after = each.old if is_old else each.table.name
        other = switch.old if is_old else _back(switch, each)
        name = name_in_sql(connection, each.schema, before)
        for statement in _renames(connection, each, before, after, other, taken):
            run(connection, statement)
        table = name_in_sql(connection, None, after)
        run(connection, f"ALTER TABLE {name} RENAME TO {table}")


def _given_names(connection: Connection, switch: Switch) -> set[str]:
    """Those of constraints and sequences, of the tables and of the new ones."""
    names: set[str] = set()
    for each in switch.tables:
        for table in (each.table.name, each.new):
            key = {"name": name_in_sql(connection, each.schema, table)}
            names.update(connection.scalars(_CONSTRAINTS, key))
            names.update(connection.scalars(SEQUENCES, key))
    return names


def _back(switch: Switch, each: SwitchedTable) -> Callable[[str], str | None]:
    """From the names while it was built to those of the metadata."""
    names = {}
    items: list[Any] = [*each.table.indexes, *each.table.constraints]
    for item in items:
        name = declared_name(switch.dialect, item)
        if name is not None:
            names[switch.new(name)] = name
            names.setdefault(name, name)
    return names.get


def _renames(
    connection: Connection,
    each: SwitchedTable,
    before: str,
    after: str,
    other: Callable[[str], str | None],
    taken: set[str],
) -> Iterator[str]:
    table = name_in_sql(connection, each.schema, before)
    key = {"name": table}

    def pair(*names: str) -> str:
        return " TO ".join(name_in_sql(connection, None, name) for name in names)

    for name, kind, columns in connection.execute(_CONSTRAINTS, key).all():
        new = other(name) or renamed(name, before, after, kind, columns, taken)
        taken.add(new)
        if new != name:
            yield f"ALTER TABLE {table} RENAME CONSTRAINT {pair(name, new)}"
    for name in connection.scalars(_INDEXES, key).all():
        new = other(name) or name
        if new != name:
            index = name_in_sql(connection, each.schema, name)
            yield f"ALTER INDEX {index} RENAME TO {name_in_sql(connection, None, new)}"
    for name, column in connection.execute(SEQUENCES, key).all():
        new = renamed(name, before, after, "seq", [column], taken)
        taken.add(new)
        if new != name:
            sequence = name_in_sql(connection, each.schema, name)
            final = name_in_sql(connection, None, new)
            yield f"ALTER SEQUENCE {sequence} RENAME TO {final}"
