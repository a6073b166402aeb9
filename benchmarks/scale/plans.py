"""What databases read for a query, as they say themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text

from benchmarks.scale.counting import statements

_EXPLAIN = {
    "postgresql": "EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF, FORMAT JSON) ",
    "sqlite": "EXPLAIN QUERY PLAN ",
    "mariadb": "EXPLAIN ",
}
_INDEXES = {
    "postgresql": ("pk_es_events", "uq_es_events_originator"),
    "sqlite": ("sqlite_autoindex_es_events_1", "sqlite_autoindex_es_events_2"),
}
"""Of positions, and of aggregates."""

_LEVELS = {
    # A leaf alone has level 0.
    "postgresql": "SELECT level + 1 FROM bt_metap(:name)",
    # A path has a slash for each page from the root on; overflow pages have a plus.
    "sqlite": """
        SELECT max(length(path) - length(replace(path, '/', ''))) FROM dbstat
        WHERE name = :name AND path NOT LIKE '%+%'
    """,
}


@dataclass(frozen=True)
class Plan:
    """How a query was executed.

    Attributes:
        text: what the database says.
        blocks: read, from the cache or not; None where the database does not say.
    """

    text: str
    blocks: int | None = None


def plan(
    engine: Engine, query: Callable[[], object], of: str = "FROM es_events"
) -> Plan:
    """The plan of a query that is executed by a call.

    Args:
        engine: executes it.
        query: the call.
        of: part of its SQL.
    """
    with statements(engine) as seen:
        query()
    sql, parameters = next(each for each in seen.executed if of in each[0])
    explain = _EXPLAIN[engine.dialect.name]
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(explain + sql, parameters).all()
    if engine.dialect.name == "sqlite":
        return Plan("\n".join(row[-1] for row in rows))
    if engine.dialect.name == "mariadb":
        return Plan("\n".join(", ".join(map(str, row)) for row in rows))
    top = rows[0][0][0]["Plan"]
    blocks = top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    return Plan("\n".join(_nodes(top)), blocks)


def _nodes(node: dict[str, Any], depth: int = 0) -> list[str]:
    known = ("Node Type", "Index Name", "Index Cond", "Filter")
    about = ", ".join(str(node[key]) for key in known if key in node)
    blocks = node["Shared Hit Blocks"] + node["Shared Read Blocks"]
    line = f"{'  ' * depth}{about} (rows={node['Actual Rows']} blocks={blocks})"
    return [
        line,
        *(below for each in node.get("Plans", ()) for below in _nodes(each, depth + 1)),
    ]


def levels(connection: Connection) -> tuple[int, ...]:
    """Pages from the root to a leaf of the indexes of positions, and of aggregates."""
    kind = connection.dialect.name
    if kind == "postgresql":
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS pageinspect"))
    query = text(_LEVELS[kind])
    return tuple(
        int(connection.execute(query, {"name": name}).scalar_one())
        for name in _INDEXES[kind]
    )
