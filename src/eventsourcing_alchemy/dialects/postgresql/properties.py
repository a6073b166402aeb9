"""What a table has that is none of the metadata's: its owner, say, and its rights."""

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.postgresql.renaming import (
    SEQUENCES,
    name_in_sql,
    run,
)

_OWNER = text("""
    SELECT format('ALTER %s %s OWNER TO %I',
        CASE o.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        CAST(:new AS text), pg_get_userbyid(o.relowner))
    FROM pg_class AS o JOIN pg_class AS n ON n.oid = to_regclass(:new)
    WHERE o.oid = to_regclass(:name) AND o.relowner <> n.relowner
""")
_PROPERTIES = text("""
    SELECT format('ALTER TABLE %s %s', CAST(:new AS text), action)
    FROM pg_class AS o JOIN pg_class AS n ON n.oid = to_regclass(:new),
    LATERAL (VALUES
        ('SET (' || array_to_string(o.reloptions, ', ') || ')',
         o.reloptions IS NOT NULL AND n.reloptions IS NULL),
        ('ENABLE ROW LEVEL SECURITY', o.relrowsecurity),
        ('FORCE ROW LEVEL SECURITY', o.relforcerowsecurity),
        ('REPLICA IDENTITY FULL', o.relreplident = 'f'),
        ('REPLICA IDENTITY NOTHING', o.relreplident = 'n')
    ) AS actions (action, is_needed)
    WHERE o.oid = to_regclass(:name) AND is_needed
""")
_RIGHTS = text("""
    WITH pair AS (
        SELECT o.oid, o.relacl AS old, n.relacl AS new, n.relowner,
        CASE o.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind,
        acldefault(CASE o.relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", n.relowner)
        AS by_default
        FROM pg_class AS o JOIN pg_class AS n ON n.oid = to_regclass(:new)
        WHERE o.oid = to_regclass(:name)),
    revoked AS (
        SELECT DISTINCT kind, acl.grantee
        FROM pair, aclexplode(coalesce(new, by_default)) AS acl
        WHERE coalesce(old, new) IS NOT NULL),
    granted AS (
        SELECT kind, '' AS columns, acl.*
        FROM pair, aclexplode(coalesce(old, by_default)) AS acl
        WHERE coalesce(old, new) IS NOT NULL
        UNION ALL SELECT kind, format(' (%I)', o.attname), acl.*
        FROM pair, pg_attribute AS o, aclexplode(o.attacl) AS acl
        WHERE o.attrelid = pair.oid AND NOT o.attisdropped AND EXISTS (
            SELECT FROM pg_attribute AS n WHERE n.attrelid = to_regclass(:new)
            AND n.attname = o.attname AND NOT n.attisdropped)),
    roles AS (
        SELECT oid, quote_ident(rolname) AS role FROM pg_roles
        UNION ALL SELECT 0, 'PUBLIC')
    SELECT format('REVOKE ALL ON %s %s FROM %s', kind, CAST(:new AS text), role)
    FROM revoked JOIN roles ON oid = grantee
    UNION ALL SELECT format('GRANT %s%s ON %s %s TO %s%s', privilege_type, columns,
        kind, CAST(:new AS text), role,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM granted JOIN roles ON oid = grantee
""")


def take_over(connection: Connection, schema: str | None, name: str, new: str) -> None:
    """Gives a new table what one in use has.

    Args:
        connection: in the transaction that replaces the table.
        schema: of both.
        name: of the one in use.
        new: of the new one.
    """
    before, after = (name_in_sql(connection, schema, table) for table in (name, new))
    take_over_rights(connection, before, after)
    names = {"name": before, "new": after}
    for statement in connection.scalars(_PROPERTIES, names).all():
        run(connection, statement)
    sequences, new_sequences = (
        {column: sequence for sequence, column in connection.execute(SEQUENCES, key)}
        for key in ({"name": before}, {"name": after})
    )
    for column in sequences.keys() & new_sequences.keys():
        pair = sequences[column], new_sequences[column]
        take_over_rights(
            connection, *(name_in_sql(connection, schema, each) for each in pair)
        )


def take_over_rights(connection: Connection, name: str, new: str) -> None:
    """Gives a new table, or sequence, the owner of one in use, and the same rights.

    Nobody gets any right that he has not now: not by default privileges either.

    Args:
        connection: in the transaction that replaces it.
        name: of the one in use, in SQL.
        new: of the new one, in SQL.
    """
    names = {"name": name, "new": new}
    for query in (_OWNER, _RIGHTS):
        for statement in connection.scalars(query, names).all():
            run(connection, statement)
