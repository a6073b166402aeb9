"""Statements that take SQLite the least time."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from eventsourcing_alchemy.dialects.base.appending import Application, Taken
from eventsourcing_alchemy.dialects.on_conflict import OnConflictAppending
from eventsourcing_alchemy.statements.applications import (
    advance_position_from,
    application_telling_time,
)
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.kept import Kept

ROWS = 20
"""Rows that one INSERT brings, where there are as many."""

_VALUES = re.compile(r"\(\?(?:, \?)*\)$")


class SQLiteAppending(OnConflictAppending):
    """No RETURNING, for which SQLite fills a table in memory, and many rows at once."""

    def __init__(self) -> None:
        super().__init__()
        self._last = Kept()
        """By application, the positions that were taken last."""

    def take_positions(
        self, executor: Executor, application: Application, count: int
    ) -> Taken:
        """For one event without a look, if the counter is where it was left last."""
        taken = count == 1 and self._next(executor, application)
        taken = taken or super().take_positions(executor, application, count)
        self._last.keep(application, taken)
        return taken

    def _next(self, executor: Executor, application: Application) -> Taken | None:
        """The next position, None if the row of the application is not as expected.

        Another process, a rollback, or a restored backup may have changed it.
        """
        last: Taken | None = self._last.get(application)
        if last is None:
            return None
        parameters = {
            "application_id": last.application_id,
            "application": application.name,
            "last": last.last,
            "next": last.last + 1,
        }
        if executor.execute(advance_position_from(), parameters).rowcount != 1:
            return None
        return Taken(last.application_id, last.last + 1)

    def advance(
        self, executor: Executor, parameters: Mapping[str, Any]
    ) -> Sequence[Any] | None:
        """With the time, which SQLite would compute for each row."""
        found = application_telling_time()
        return self.advance_and_select(executor, parameters, found)

    def execute_many(self, cursor: Any, text: str, rows: Sequence[Any]) -> None:
        """By INSERTs with many rows; those that are left, one by one."""
        many = _of_many_rows(text)
        grouped = 0 if many is None else len(rows) - len(rows) % ROWS
        for first in range(0, grouped, ROWS):
            group = rows[first : first + ROWS]
            cursor.execute(many, tuple(chain.from_iterable(group)))
        if grouped < len(rows):
            cursor.executemany(text, rows[grouped:])


@lru_cache
def _of_many_rows(text: str) -> str | None:
    values = _VALUES.search(text)
    if values is None:  # The engine gives parameters in another style.
        return None
    # OR FAIL, as with one row a statement: otherwise SQLite copies all pages that the
    # statement changes, to be able to undo it alone.
    failing = text.replace("INSERT INTO", "INSERT OR FAIL INTO", 1)
    return failing + f", {values[0]}" * (ROWS - 1)
