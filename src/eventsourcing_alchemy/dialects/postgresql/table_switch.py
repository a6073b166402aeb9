"""Tables that are replaced in a transaction, with all that belongs to them."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import Connection, Table, delete, text

from eventsourcing_alchemy.dialects.base.table_switch import (
    Switch,
    SwitchedTable,
    TableSwitch,
    declared_name,
    quoted,
)
from eventsourcing_alchemy.dialects.postgresql.generated_names import renamed

LOCK_TIMEOUT = 100
"""Milliseconds to wait until nobody uses the tables; meanwhile others wait, too."""

_DEPENDENTS = text("""
    WITH tables AS (
        SELECT to_regclass(name) AS oid FROM unnest(CAST(:names AS text[])) AS name),
    targets AS (
        SELECT 'pg_class'::regclass AS class, oid FROM tables
        UNION ALL SELECT 'pg_class'::regclass, indexrelid
        FROM pg_index WHERE indrelid IN (SELECT oid FROM tables)
        UNION ALL SELECT classid, objid FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
        AND refobjid IN (SELECT oid FROM tables) AND deptype IN ('a', 'i')
        UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type AS t
        LEFT JOIN pg_type AS e ON e.oid = t.typelem
        WHERE coalesce(nullif(t.typrelid, 0), e.typrelid) IN (SELECT oid FROM tables))
    SELECT 'view ' || r.ev_class::regclass FROM pg_depend AS d
    JOIN targets AS t ON d.refclassid = t.class AND d.refobjid = t.oid
    JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
    WHERE r.ev_class NOT IN (SELECT oid FROM tables WHERE oid IS NOT NULL)
    UNION SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
    FROM pg_depend AS d
    JOIN targets AS t ON d.refclassid = t.class AND d.refobjid = t.oid
    LEFT JOIN pg_constraint AS c
    ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
    LEFT JOIN pg_attrdef AS a
    ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
    WHERE d.deptype = 'n' AND d.classid <> 'pg_rewrite'::regclass
    AND coalesce(c.conrelid, a.adrelid, 0) NOT IN (
        SELECT oid FROM tables WHERE oid IS NOT NULL)
    UNION SELECT pg_describe_object('pg_trigger'::regclass, oid, 0) FROM pg_trigger
    WHERE tgrelid IN (SELECT oid FROM tables) AND NOT tgisinternal
    UNION SELECT pg_describe_object('pg_rewrite'::regclass, oid, 0) FROM pg_rewrite
    WHERE ev_class IN (SELECT oid FROM tables)
    UNION SELECT pg_describe_object('pg_policy'::regclass, oid, 0) FROM pg_policy
    WHERE polrelid IN (SELECT oid FROM tables)
    UNION SELECT pg_describe_object('pg_publication_rel'::regclass, oid, 0)
    FROM pg_publication_rel WHERE prrelid IN (SELECT oid FROM tables)
    UNION SELECT pg_describe_object('pg_statistic_ext'::regclass, oid, 0)
    FROM pg_statistic_ext WHERE stxrelid IN (SELECT oid FROM tables)
    UNION SELECT 'inheritance of table ' || inhrelid::regclass FROM pg_inherits
    WHERE inhrelid IN (SELECT oid FROM tables)
    OR inhparent IN (SELECT oid FROM tables)
    ORDER BY 1
""")

_MISSING_RIGHTS = text("""
    SELECT 'the ownership of table ' || oid::regclass FROM pg_class
    WHERE oid IN (
        SELECT to_regclass(name) FROM unnest(CAST(:names AS text[])) AS name)
    AND NOT pg_has_role(relowner, 'USAGE')
    UNION ALL SELECT DISTINCT 'CREATE on schema ' || quote_ident(name)
    FROM unnest(CAST(:schemas AS text[])) AS name
    WHERE NOT has_schema_privilege(name, 'CREATE')
    UNION ALL SELECT action || ' on table ' || name
    FROM unnest(CAST(:ours AS text[])) AS name,
    unnest(CAST(:actions AS text[])) AS action
    WHERE NOT has_table_privilege(name, action)
""")

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
_SEQUENCES = text("""
    SELECT s.relname, a.attname::text FROM pg_depend AS d
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.refobjid = to_regclass(:name) AND d.deptype IN ('a', 'i')
""")
_OWNER = text("""
    SELECT quote_ident(rolname) FROM pg_class JOIN pg_roles ON pg_roles.oid = relowner
    WHERE pg_class.oid = to_regclass(:name) AND rolname <> current_user
""")
_OPTIONS = text("""
    SELECT array_to_string(reloptions, ', ') FROM pg_class
    WHERE oid = to_regclass(:name) AND reloptions IS NOT NULL AND to_regclass(:new) IN (
        SELECT oid FROM pg_class WHERE reloptions IS NULL)
""")
_GRANTS = text("""
    WITH granted AS (
        SELECT '' AS columns, acl FROM pg_class, aclexplode(relacl) AS acl
        WHERE oid = to_regclass(:name)
        UNION ALL SELECT format(' (%I)', o.attname), acl
        FROM pg_attribute AS o, aclexplode(o.attacl) AS acl
        WHERE o.attrelid = to_regclass(:name) AND NOT o.attisdropped AND EXISTS (
            SELECT FROM pg_attribute AS n WHERE n.attrelid = to_regclass(:new)
            AND n.attname = o.attname AND NOT n.attisdropped))
    SELECT format('GRANT %s%s ON %s %s TO %s%s', (acl).privilege_type, columns,
        CASE (SELECT relkind FROM pg_class WHERE oid = to_regclass(:name))
        WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, CAST(:new AS text),
        CASE (acl).grantee WHEN 0 THEN 'PUBLIC'
        ELSE quote_ident(pg_get_userbyid((acl).grantee)) END,
        CASE WHEN (acl).is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM granted
""")


class PostgreSQLTableSwitch(TableSwitch):
    """Who waits for a table finds the new one, because names are looked up again."""

    switches_tables = True
    shared_names: ClassVar[Collection[str]] = (
        "index",
        "primary_key_constraint",
        "unique_constraint",
        "exclude_constraint",
        "sequence",
    )

    def dependents(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> Sequence[str]:
        """Whatever the catalog knows to depend on them, or to be lost with them."""
        names = [quoted(connection, *each) for each in tables]
        return connection.scalars(_DEPENDENTS, {"names": names}).all()

    def missing_rights(
        self,
        connection: Connection,
        tables: Sequence[tuple[str | None, str]],
        ours: Sequence[tuple[str | None, str]],
    ) -> Sequence[str]:
        """The owner replaces a table; a new one needs a right on the schema."""
        parameters = {
            "names": [quoted(connection, *each) for each in tables],
            "schemas": [schema for schema, _ in tables],
            "ours": [quoted(connection, *each) for each in ours],
            "actions": ["SELECT", "INSERT", "UPDATE", "DELETE"],
        }
        return connection.scalars(_MISSING_RIGHTS, parameters).all()

    def drop_tables(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> None:
        """At once: they may refer to each other."""
        names = ", ".join(quoted(connection, *each) for each in tables)
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {names}")

    def empty_tables(self, connection: Connection, tables: Sequence[Table]) -> None:
        """By one statement, at whose end foreign keys are checked."""
        last, *others = tables
        statement = delete(last)
        for table in others:
            statement = statement.add_cte(delete(table).cte())
        connection.execute(statement)

    def limit_lock_waits(self, connection: Connection, *, waits: bool) -> None:  # noqa: ARG002
        """Below `deadlock_timeout`, so that nobody else is the victim."""
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT}")

    def switch(self, connection: Connection, switch: Switch) -> None:
        """Takes the locks of all tables, then drops or renames, then renames."""
        before = [
            quoted(connection, each.schema, each.table.name) for each in switch.present
        ]
        for each in switch.present:
            _carry_over(connection, each)
        if before:
            tables = ", ".join(before)
            connection.exec_driver_sql(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            if switch.keeps_old:
                _rename_all(connection, switch, is_old=True)
            else:
                connection.exec_driver_sql(f"DROP TABLE {tables}")
        _switch_sequences(connection, switch)
        _rename_all(connection, switch, is_old=False)


def _carry_over(connection: Connection, each: SwitchedTable) -> None:
    """Owner, storage parameters and privileges are none of the metadata's."""
    name, new = (
        quoted(connection, each.schema, table) for table in (each.table.name, each.new)
    )
    both = {"name": name, "new": new}
    owner = connection.scalar(_OWNER, {"name": name})
    if owner is not None:
        connection.exec_driver_sql(f"ALTER TABLE {new} OWNER TO {owner}")
    options = connection.scalar(_OPTIONS, both)
    if options is not None:
        connection.exec_driver_sql(f"ALTER TABLE {new} SET ({options})")
    _grant(connection, both)
    sequences = {
        column: sequence
        for sequence, column in connection.execute(_SEQUENCES, {"name": new})
    }
    for sequence, column in connection.execute(_SEQUENCES, {"name": name}).all():
        if column in sequences:
            pair = sequence, sequences[column]
            names = [quoted(connection, each.schema, sequence) for sequence in pair]
            _grant(connection, dict(zip(both, names, strict=True)))


def _grant(connection: Connection, names: Mapping[str, str]) -> None:
    for statement in connection.scalars(_GRANTS, names).all():
        connection.exec_driver_sql(statement)


def _switch_sequences(connection: Connection, switch: Switch) -> None:
    schema = next((each.schema for each in switch.tables), None)
    for name in switch.sequences:
        before, new = (
            quoted(connection, schema, each) for each in (name, switch.new(name))
        )
        if switch.keeps_old:
            old = quoted(connection, None, switch.old(name))
            rename = f"ALTER SEQUENCE IF EXISTS {before} RENAME TO {old}"
            connection.exec_driver_sql(rename)
        else:
            connection.exec_driver_sql(f"DROP SEQUENCE IF EXISTS {before}")
        final = quoted(connection, None, name)
        connection.exec_driver_sql(f"ALTER SEQUENCE {new} RENAME TO {final}")


def _rename_all(connection: Connection, switch: Switch, *, is_old: bool) -> None:
    taken: set[str] = set()
    for each in switch.present if is_old else switch.tables:
        before = each.table.name if is_old else each.new
        after = each.old if is_old else each.table.name
        other = switch.old if is_old else _back(switch, each)
        name = quoted(connection, each.schema, before)
        for statement in _renames(connection, each, before, after, other, taken):
            connection.exec_driver_sql(statement)
        table = quoted(connection, None, after)
        connection.exec_driver_sql(f"ALTER TABLE {name} RENAME TO {table}")


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
    table = quoted(connection, each.schema, before)
    key = {"name": table}

    def pair(*names: str) -> str:
        return " TO ".join(quoted(connection, None, name) for name in names)

    for name, kind, columns in connection.execute(_CONSTRAINTS, key).all():
        new = other(name) or renamed(name, before, after, kind, columns, taken)
        taken.add(new)
        if new != name:
            yield f"ALTER TABLE {table} RENAME CONSTRAINT {pair(name, new)}"
    for name in connection.scalars(_INDEXES, key).all():
        new = other(name) or name
        if new != name:
            index = quoted(connection, each.schema, name)
            yield f"ALTER INDEX {index} RENAME TO {quoted(connection, None, new)}"
    for name, column in connection.execute(_SEQUENCES, key).all():
        new = renamed(name, before, after, "seq", [column], taken)
        taken.add(new)
        if new != name:
            sequence = quoted(connection, each.schema, name)
            yield f"ALTER SEQUENCE {sequence} RENAME TO {quoted(connection, None, new)}"
