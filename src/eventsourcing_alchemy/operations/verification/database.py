"""Statements on one database, each in a short transaction."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Executable, Row

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.reading import read

WINDOW = 20_000
"""Positions that a statement looks at: each one ends soon, and locks nothing."""


def rows(
    datastore: SQLAlchemyDatastore, statement: Executable, **parameters: Any
) -> Sequence[Row[Any]]:
    """All rows of a statement."""
    return read(datastore, lambda it: it.rows(statement, parameters))


def windows(gt: int, lte: int) -> Iterator[Mapping[str, int]]:
    """The positions above one and up to another, in parts."""
    for low in range(gt, lte, WINDOW):
        yield {"gt": low, "lte": min(low + WINDOW, lte)}
