"""How much databases do for queries, as they count themselves: no times, no plans."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

_COUNT = "SHOW SESSION STATUS LIKE 'Handler_read%'"


class Work:
    """What the queries of a block have cost, in units of the database's own.

    Attributes:
        done: blocks, rows or instructions.
    """

    def __init__(self) -> None:
        self.done = 0

    def begin(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
    ) -> None:
        """Before a statement."""
        if not statement.lstrip().startswith("SELECT"):
            return
        match connection.dialect.name:
            case "sqlite":
                driver = connection.connection.driver_connection
                driver.set_progress_handler(self._step, 1)
            case "mariadb":
                cursor.execute("FLUSH STATUS")
            case _:
                explain = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
                cursor.execute(explain + statement, parameters)
                plan = cursor.fetchone()[0][0]["Plan"]
                self.done += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]

    def end(self, connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        """After it; what it returns is fetched already, but by SQLite."""
        if connection.dialect.name == "mariadb" and statement.startswith("SELECT"):
            with cursor.connection.cursor() as other:
                other.execute(_COUNT)
                self.done += sum(int(count) for _, count in other.fetchall())

    def _step(self) -> int:
        self.done += 1
        return 0


@contextmanager
def work(engine: Engine) -> Iterator[Work]:
    """Counts what is done for the SELECTs of the block."""
    counted = Work()
    event.listen(engine, "before_cursor_execute", counted.begin)
    event.listen(engine, "after_cursor_execute", counted.end)
    try:
        yield counted
    finally:
        event.remove(engine, "before_cursor_execute", counted.begin)
        event.remove(engine, "after_cursor_execute", counted.end)
