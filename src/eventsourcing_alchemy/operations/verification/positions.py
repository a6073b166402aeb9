"""Positions that an application lacks, and what its counter says."""

from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Select,
    bindparam,
    func,
    select,
    union_all,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.event_tables import EVENT_TABLES
from eventsourcing_alchemy.operations.verification.database import rows

READ_AT_ONCE = 1000
"""Positions that are read rather than counted."""


class Application(NamedTuple):
    """A row of `es_applications`, and the last of the application's events."""

    id: int
    name: str
    counter: int
    last: int


class Range(NamedTuple):
    """Positions that follow each other."""

    first: int
    last: int

    def __str__(self) -> str:
        if self.first == self.last:
            return f"position {self.first} is missing"
        return f"positions {self.first} to {self.last} are missing"


def wrong_positions(
    datastore: SQLAlchemyDatastore, application: Application, *, allow_gaps: bool
) -> Iterator[Discrepancy]:
    """Gaps, and a counter that is not where the events are.

    Args:
        datastore: the database.
        application: whose positions to look at.
        allow_gaps: whether events may be missing.
    """
    name, counter, last = application.name, application.counter, application.last
    if counter < last:
        problem = (
            f"es_applications says that {counter} is the last position, but there are "
            f"events up to {last}: the next append fails"
        )
        yield Discrepancy(name, last, problem)
    if counter > last:
        problem = f"the events end before {counter}, where es_applications says so"
        yield Discrepancy(name, last or None, problem)
    if not allow_gaps:
        for missing in _merged(_missing(datastore, application.id, Range(1, last))):
            yield Discrepancy(name, missing.first, str(missing))


def _merged(ranges: Iterator[Range]) -> Iterator[Range]:
    current: Range | None = None
    for each in ranges:
        if current is not None and each.first == current.last + 1:
            current = Range(current.first, each.last)
            continue
        if current is not None:
            yield current
        current = each
    if current is not None:
        yield current


def _missing(
    datastore: SQLAlchemyDatastore, application_id: int, within: Range
) -> Iterator[Range]:
    """The positions that are missing, found by counting ever smaller parts."""
    size = within.last - within.first + 1
    bounds = {"id": application_id, "gt": within.first - 1, "lte": within.last}
    if size <= READ_AT_ONCE:
        there = {row[0] for row in rows(datastore, _positions(), **bounds)}
        for position in range(within.first, within.last + 1):
            if position not in there:
                yield Range(position, position)
        return
    count = rows(datastore, _count(), **bounds)[0][0]
    if not count:
        yield within
    elif count < size:
        middle = within.first + size // 2
        for part in Range(within.first, middle - 1), Range(middle, within.last):
            yield from _missing(datastore, application_id, part)


@cache
def _positions() -> Select[Any]:
    each = (
        select(table.position).where(
            table.application_id == bindparam("id", type_=BigInteger),
            table.position > bindparam("gt", type_=BigInteger),
            table.position <= bindparam("lte", type_=BigInteger),
        )
        for table in EVENT_TABLES
    )
    found = union_all(*each).subquery()
    return select(*found.c)


@cache
def _count() -> Select[Any]:
    return select(func.count()).select_from(_positions().subquery())
