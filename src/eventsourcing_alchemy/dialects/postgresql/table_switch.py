"""Tables that are replaced in a transaction, with all that belongs to them."""

from collections.abc import Collection, Sequence
from typing import ClassVar

from sqlalchemy import Connection, Table, delete, text

from eventsourcing_alchemy.dialects.base.table_switch import (
    Switch,
    TableSwitch,
)
from eventsourcing_alchemy.dialects.postgresql.properties import (
    take_over,
    take_over_rights,
)
from eventsourcing_alchemy.dialects.postgresql.renaming import (
    name_in_sql,
    rename_all,
    run,
)

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
    UNION SELECT 'publication ' || quote_ident(pubname) FROM pg_publication_tables
    WHERE to_regclass(format('%I.%I', schemaname, tablename)) IN (
        SELECT oid FROM tables)
    UNION SELECT pg_describe_object('pg_statistic_ext'::regclass, oid, 0)
    FROM pg_statistic_ext WHERE stxrelid IN (SELECT oid FROM tables)
    UNION SELECT 'replica identity by an index of table ' || oid::regclass
    FROM pg_class WHERE oid IN (SELECT oid FROM tables) AND relreplident = 'i'
    UNION SELECT 'inheritance of table ' || inhrelid::regclass FROM pg_inherits
    WHERE inhrelid IN (SELECT oid FROM tables)
    OR inhparent IN (SELECT oid FROM tables)
    ORDER BY 1
""")

_MISSING_RIGHTS = text("""
    SELECT CASE relkind WHEN 'S' THEN 'the ownership of sequence '
    ELSE 'the ownership of table ' END || oid::regclass FROM pg_class
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
        names = [name_in_sql(connection, *each) for each in tables]
        return connection.scalars(_DEPENDENTS, {"names": names}).all()

    def missing_rights(
        self,
        connection: Connection,
        tables: Sequence[tuple[str | None, str]],
        ours: Sequence[tuple[str | None, str]],
    ) -> Sequence[str]:
        """The owner replaces a table; a new one needs a right on the schema."""
        parameters = {
            "names": [name_in_sql(connection, *each) for each in tables],
            "schemas": [schema for schema, _ in tables],
            "ours": [name_in_sql(connection, *each) for each in ours],
            "actions": ["SELECT", "INSERT", "UPDATE", "DELETE"],
        }
        return connection.scalars(_MISSING_RIGHTS, parameters).all()

    def drop_tables(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> None:
        """At once: they may refer to each other."""
        names = ", ".join(name_in_sql(connection, *each) for each in tables)
        run(connection, f"DROP TABLE IF EXISTS {names}")

    def empty_tables(self, connection: Connection, tables: Sequence[Table]) -> None:
        """By one statement, at whose end foreign keys are checked."""
        last, *others = tables
        statement = delete(last)
        for table in others:
            statement = statement.add_cte(delete(table).cte())
        connection.execute(statement)

    def limit_lock_waits(self, connection: Connection, *, waits: bool) -> None:  # noqa: ARG002
        """Below `deadlock_timeout`, so that nobody else is the victim."""
        run(connection, f"SET LOCAL lock_timeout = {LOCK_TIMEOUT}")

    def lock_tables(self, connection: Connection, switch: Switch) -> None:
        """All of them, from readers too."""
        if switch.present:
            tables = ", ".join(_names(connection, switch))
            run(connection, f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")

    def switch(self, connection: Connection, switch: Switch) -> None:
        """Drops or renames those in use, then renames the new ones."""
        for each in switch.present:
            take_over(connection, each.schema, each.table.name, each.new)
        if switch.keeps_old:
            rename_all(connection, switch, is_old=True)
        elif switch.present:
            run(connection, f"DROP TABLE {', '.join(_names(connection, switch))}")
        _switch_sequences(connection, switch)
        rename_all(connection, switch, is_old=False)


def _names(connection: Connection, switch: Switch) -> Sequence[str]:
    return [
        name_in_sql(connection, each.schema, each.table.name) for each in switch.present
    ]


def _switch_sequences(connection: Connection, switch: Switch) -> None:
    for schema, name in switch.sequences:
        before, new = (
            name_in_sql(connection, schema, each) for each in (name, switch.new(name))
        )
        take_over_rights(connection, before, new)
        if switch.keeps_old:
            old = name_in_sql(connection, None, switch.old(name))
            rename = f"ALTER SEQUENCE IF EXISTS {before} RENAME TO {old}"
            run(connection, rename)
        else:
            run(connection, f"DROP SEQUENCE IF EXISTS {before}")
        final = name_in_sql(connection, None, name)
        run(connection, f"ALTER SEQUENCE {new} RENAME TO {final}")
