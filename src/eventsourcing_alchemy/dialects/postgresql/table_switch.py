"""Tables that are replaced in a transaction, with all that belongs to them."""

from collections.abc import Collection, Mapping, Sequence
from typing import ClassVar

from sqlalchemy import Connection, Table, delete, text

from eventsourcing_alchemy.dialects.base.table_switch import (
    Switch,
    SwitchedTable,
    TableSwitch,
)
from eventsourcing_alchemy.dialects.postgresql.renaming import (
    SEQUENCES,
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

    def switch(self, connection: Connection, switch: Switch) -> None:
        """Takes the locks of all tables, then drops or renames, then renames."""
        before = [
            name_in_sql(connection, each.schema, each.table.name)
            for each in switch.present
        ]
        for each in switch.present:
            _carry_over(connection, each)
        if before:
            tables = ", ".join(before)
            run(connection, f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
            if switch.keeps_old:
                rename_all(connection, switch, is_old=True)
            else:
                run(connection, f"DROP TABLE {tables}")
        _switch_sequences(connection, switch)
        rename_all(connection, switch, is_old=False)


def _carry_over(connection: Connection, each: SwitchedTable) -> None:
    """Owner, storage parameters and privileges are none of the metadata's."""
    name, new = (
        name_in_sql(connection, each.schema, table)
        for table in (each.table.name, each.new)
    )
    both = {"name": name, "new": new}
    owner = connection.scalar(_OWNER, {"name": name})
    if owner is not None:
        run(connection, f"ALTER TABLE {new} OWNER TO {owner}")
    options = connection.scalar(_OPTIONS, both)
    if options is not None:
        run(connection, f"ALTER TABLE {new} SET ({options})")
    _grant(connection, both)
    sequences = {
        column: sequence
        for sequence, column in connection.execute(SEQUENCES, {"name": new})
    }
    for sequence, column in connection.execute(SEQUENCES, {"name": name}).all():
        if column in sequences:
            pair = sequence, sequences[column]
            names = [
                name_in_sql(connection, each.schema, sequence) for sequence in pair
            ]
            _grant(connection, dict(zip(both, names, strict=True)))


def _grant(connection: Connection, names: Mapping[str, str]) -> None:
    for statement in connection.scalars(_GRANTS, names).all():
        run(connection, statement)


def _switch_sequences(connection: Connection, switch: Switch) -> None:
    for schema, name in switch.sequences:
        before, new = (
            name_in_sql(connection, schema, each) for each in (name, switch.new(name))
        )
        if switch.keeps_old:
            old = name_in_sql(connection, None, switch.old(name))
            rename = f"ALTER SEQUENCE IF EXISTS {before} RENAME TO {old}"
            run(connection, rename)
        else:
            run(connection, f"DROP SEQUENCE IF EXISTS {before}")
        final = name_in_sql(connection, None, name)
        run(connection, f"ALTER SEQUENCE {new} RENAME TO {final}")
