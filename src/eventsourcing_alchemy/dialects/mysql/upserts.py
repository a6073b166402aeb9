"""INSERT … ON DUPLICATE KEY UPDATE."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, groupby
from typing import Any

from sqlalchemy import (
    Executable,
    Table,
)
from sqlalchemy.dialects.mysql import insert

from eventsourcing_alchemy.dialects.base.upserts import Merge, Upserts

MOST_ROWS = 100
"""Rows of one statement."""

LONGEST_ROW = 1000
"""Characters, or bytes, of a row that shares a statement.

With escapes, 100 such rows are well below any usual `max_allowed_packet`.
"""

_NAMED = re.compile(r"(?<!%)%\((\w+)\)s")


class MySQLUpserts(Upserts):
    """INSERT … ON DUPLICATE KEY UPDATE."""

    collects_upserts = True

    def upsert_statement(
        self,
        table: Table,
        values: Mapping[str, Any],
        set_: Mapping[str, Any],
        index_elements: Sequence[str],  # noqa: ARG002
    ) -> Executable:
        """INSERT … ON DUPLICATE KEY UPDATE."""
        return insert(table).values(values).on_duplicate_key_update(dict(set_))

    def merge_of_upserts(self, width: int) -> Merge:
        """One INSERT of all rows that follow each other and have the same UPDATE.

        The drivers' own `executemany()` does that only if the UPDATE has no parameters.
        """
        return partial(_merged, width)


def _merged(width: int, text: str, rows: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    if names := _NAMED.findall(text):
        text = _NAMED.sub("%s", text)
        rows = [tuple(row[name] for name in names) for row in rows]
    new = f"({', '.join(['%s'] * width)})"
    if new not in text:  # The driver has other placeholders.
        yield from ((text, row) for row in rows)
        return
    for some in _of_same_update(width, rows):
        values = chain.from_iterable(row[:width] for row in some)
        merged = text.replace(new, ", ".join([new] * len(some)), 1)
        yield merged, (*values, *some[0][width:])


def _of_same_update(width: int, rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    def update(row: Any) -> Any:
        texts = (each for each in row if isinstance(each, str | bytes))
        # Equal values may differ: 1, 1.0 and True.
        return repr(row[width:]) if sum(map(len, texts)) <= LONGEST_ROW else object()

    for _, same in groupby(rows, update):
        every = list(same)
        for first in range(0, len(every), MOST_ROWS):
            yield every[first : first + MOST_ROWS]
