"""Triggers, rules, policies, and functions."""

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.base.side_effects import SideEffects

_HARMLESS = ["nextval", "now", "clock_timestamp", "statement_timestamp"]
_HARMLESS += ["transaction_timestamp", "gen_random_uuid", "random"]
_HARMLESS += ["timestamp", "timestamptz", "timezone", "date", "time"]
"""Functions of the server's that read no table, though they are not immutable."""

_PLAIN_TABLES = text("""
    SELECT count(*) FROM pg_class AS t
    WHERE t.oid = to_regclass(:name) AND t.relkind = 'r'
    AND NOT t.relrowsecurity AND NOT t.relhasrules
    AND NOT EXISTS (
        SELECT FROM pg_trigger AS g
        LEFT JOIN pg_constraint AS f ON f.oid = g.tgconstraint AND f.contype = 'f'
        WHERE g.tgrelid = t.oid AND (
            f.oid IS NULL OR f.confrelid = t.oid AND f.confupdtype NOT IN ('a', 'r')))
    AND NOT EXISTS (
        SELECT FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
        WHERE a.attrelid = t.oid AND y.typtype = 'd')
    AND NOT EXISTS (
        SELECT FROM (
            SELECT adbin::text FROM pg_attrdef WHERE adrelid = t.oid
            UNION ALL SELECT conbin::text FROM pg_constraint WHERE conrelid = t.oid
            UNION ALL SELECT concat(indexprs::text, indpred::text)
            FROM pg_index WHERE indrelid = t.oid) AS expression(tree)
        CROSS JOIN LATERAL regexp_matches(tree, 'funcid ([0-9]+)', 'g') AS m(found)
        LEFT JOIN pg_proc AS p ON p.oid = m.found[1]::oid
        WHERE (p.pronamespace = 'pg_catalog'::regnamespace AND (
            p.provolatile = 'i' OR p.proname = ANY (:harmless))) IS NOT TRUE)
""")
"""Of foreign keys, those that read tables, or lock them, do nothing else; those that
write to tables may run what those have."""


class PostgreSQLSideEffects(SideEffects):
    """Triggers, rules, policies, and functions."""

    def has_side_effects(
        self, connection: Connection, table: str, schema: str | None
    ) -> bool:
        """Whether it has any of these, or is anything else than a table."""
        quote = connection.dialect.identifier_preparer.quote_identifier
        name = ".".join(quote(part) for part in (schema, table) if part)
        parameters = {"name": name, "harmless": _HARMLESS}
        return not connection.scalar(_PLAIN_TABLES, parameters)
