"""How databases execute the queries of a block: what each of them tells of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def _postgresql(engine: Engine, of: str) -> Iterator[list[str]]:
    """The plans that were used, of prepared statements too, as the server logs them."""
    plans: list[str] = []

    def log_plans(connection: Any, *_: Any) -> None:
        connection.execute("LOAD 'auto_explain'")
        connection.execute("SET auto_explain.log_min_duration = 0")
        connection.execute("SET client_min_messages = log")
        connection.commit()
        connection.add_notice_handler(lambda notice: note(notice.message_primary))

    def note(message: str) -> None:
        if of in message:
            plans.append(message)

    event.listen(engine, "connect", log_plans)
    engine.dispose()
    yield plans
    event.remove(engine, "connect", log_plans)
    engine.dispose()


def _explained_by(
    explain: str,
) -> Callable[[Engine, str], AbstractContextManager[list[str]]]:
    """The plans that the database would use for what is about to be executed."""

    @contextmanager
    def plans_of(engine: Engine, of: str) -> Iterator[list[str]]:
        plans: list[str] = []

        def note(
            _: Any, cursor: Any, statement: str, parameters: Any, *__: Any
        ) -> None:
            if of in statement:
                cursor.execute(f"{explain} {statement}", parameters)
                plans.append(json.dumps(cursor.fetchall()))

        event.listen(engine, "before_cursor_execute", note)
        yield plans
        event.remove(engine, "before_cursor_execute", note)

    return plans_of


_PLANS: Mapping[str, Callable[[Engine, str], AbstractContextManager[list[str]]]] = {
    "postgresql": _postgresql,
    "plain": _postgresql,
    "mariadb": _explained_by("EXPLAIN"),
    "sqlite": _explained_by("EXPLAIN QUERY PLAN"),
}

POSITIONS = {
    "postgresql": "Index Scan using pk_es_events on es_events",
    "plain": "Index Scan using pk_es_events on es_events",
    "mariadb": '"es_events", "range", "PRIMARY", "PRIMARY"',
    "sqlite": "SEARCH es_events USING INDEX sqlite_autoindex_es_events_1 "
    "(application_id=? AND notification_id>? AND notification_id<?)",
}
"""A range of the positions of an application."""

AGGREGATES = {
    "postgresql": " using uq_es_events_originator on es_events",
    "plain": " using uq_es_events_originator on es_events",
    "mariadb": '"PRIMARY,uq_es_events_originator", "uq_es_events_originator"',
    "sqlite": "SEARCH es_events USING INDEX sqlite_autoindex_es_events_2 "
    "(originator_id=?",
}
"""The events of one aggregate."""

WASTE = (
    "Seq Scan on es_events",
    "Bitmap",
    "Sort",
    "filesort",
    "SCAN es_",
    "TEMP B-TREE",
)
"""What a plan has that reads, or sorts, more than it was asked for."""


WHOLE_TABLE = re.compile(r'Seq Scan on es_|SCAN es_|"es_\w+", "(ALL|index)"')
"""How databases say that they read all of a table of ours."""


def plans(
    engine: Engine, of: str = "FROM es_events"
) -> AbstractContextManager[list[str]]:
    """The plans of the queries that are executed within the block.

    Args:
        engine: executes them.
        of: is part of them.
    """
    return _PLANS[engine.dialect.name](engine, of)
