"""Statements on one database, each in a short transaction."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Executable, Row

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.event_tables import position_beside
from eventsourcing_alchemy.operations.reading import read

WINDOW = 20_000
"""Positions that a statement looks at: each one ends soon, and locks nothing."""


def rows(
    datastore: SQLAlchemyDatastore, statement: Executable, **parameters: Any
) -> Sequence[Row[Any]]:
    """All rows of a statement."""
    return read(datastore, lambda it: it.rows(statement, parameters))


def windows(
    datastore: SQLAlchemyDatastore,
    position: Column[int],
    application_id: int,
    gt: int,
    lte: int,
) -> Iterator[Mapping[str, int]]:
    """The positions above one and up to another, in parts that have events.

    Args:
        datastore: the database.
        position: the column of positions.
        application_id: of the application.
        gt: the one position.
        lte: the other.
    """
    parameters = {"id": application_id, "position": gt}
    while found := rows(datastore, position_beside(position), **parameters):
        low = found[0][0] - 1
        if low >= lte:
            return
        high = parameters["position"] = min(low + WINDOW, lte)
        yield {"id": application_id, "gt": low, "lte": high}
