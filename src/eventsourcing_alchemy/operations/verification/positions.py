"""Positions that an application lacks or has twice, and what its counter says."""

from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Select,
    String,
    and_,
    bindparam,
    func,
    literal,
    select,
    union_all,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.event_tables import EVENT_TABLES, EventTable
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.statements.tracking import LOWEST

READ_AT_ONCE = 1000
"""Positions that are read rather than counted."""


class Application(NamedTuple):
    """A row of `es_applications`, and the last of the application's events."""

    id: int
    name: str
    counter: int
    last: int


class Missing(NamedTuple):
    """Positions without an event, which follow each other."""

    first: int
    last: int

    def __str__(self) -> str:
        if self.first == self.last:
            return f"position {self.first} is missing"
        return f"positions {self.first} to {self.last} are missing"


class Repeated(NamedTuple):
    """A position of several events, each in a table of its own."""

    first: int
    tables: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' and '.join(self.tables)} each have an event at this position"


Wrong = Missing | Repeated


def wrong_positions(
    datastore: SQLAlchemyDatastore, application: Application, *, allow_gaps: bool
) -> Iterator[Discrepancy]:
    """Gaps, repetitions, and a counter that is not beyond the events.

    Args:
        datastore: the database.
        application: whose positions to look at.
        allow_gaps: whether events may be missing, also at the end.
    """
    name, counter, last = application.name, application.counter, application.last
    if counter < last:
        problem = (
            f"es_applications says that {counter} is the last position, but there are "
            f"events up to {last}: the next append fails"
        )
        yield Discrepancy(name, last, problem)
    for below in rows(datastore, _positions(), id=application.id, gt=LOWEST, lte=0):
        problem = f"{below.table} has an event below position 1: no reader finds it"
        yield Discrepancy(name, below.position, problem)
    # Up to the counter: events at the end may be missing, too.
    for wrong in _merged(_wrong(datastore, application.id, 1, max(counter, last))):
        if not (allow_gaps and isinstance(wrong, Missing)):
            yield Discrepancy(name, wrong.first, str(wrong))


def _merged(wrong: Iterator[Wrong]) -> Iterator[Wrong]:
    current: Missing | None = None
    for each in wrong:
        if current is not None:
            if isinstance(each, Missing) and each.first == current.last + 1:
                current = Missing(current.first, each.last)
                continue
            yield current
            current = None
        if isinstance(each, Missing):
            current = each
        else:
            yield each
    if current is not None:
        yield current


def _wrong(
    datastore: SQLAlchemyDatastore, application_id: int, first: int, last: int
) -> Iterator[Wrong]:
    """What is wrong with some positions, found by counting ever smaller parts."""
    size = last - first + 1
    bounds = {"id": application_id, "gt": first - 1, "lte": last}
    if size <= READ_AT_ONCE:
        yield from _wrong_of_few(datastore, first, last, bounds)
        return
    counts = rows(datastore, _counts(), **bounds)[0]
    if not any(counts):
        yield Missing(first, last)
    # Of several tables, one may lack what another repeats: the sum says nothing.
    elif sorted(counts) != [0, 0, size]:
        middle = first + size // 2
        for part in (first, middle - 1), (middle, last):
            yield from _wrong(datastore, application_id, *part)


def _wrong_of_few(
    datastore: SQLAlchemyDatastore, first: int, last: int, bounds: dict[str, int]
) -> Iterator[Wrong]:
    tables = defaultdict(list)
    for row in rows(datastore, _positions(), **bounds):
        tables[row.position].append(row.table)
    for position in range(first, last + 1):
        found = tables[position]
        if not found:
            yield Missing(position, position)
        elif len(found) > 1:
            yield Repeated(position, tuple(sorted(found)))


@cache
def _positions() -> CompoundSelect[Any]:
    each = (
        select(
            table.position.label("position"),
            literal(table.table.name, String).label("table"),
        ).where(_within(table))
        for table in EVENT_TABLES
    )
    return union_all(*each)


@cache
def _counts() -> Select[Any]:
    """The number of positions in each of the tables."""
    each = (
        select(func.count()).where(_within(table)).scalar_subquery()
        for table in EVENT_TABLES
    )
    return select(*each)


def _within(table: EventTable) -> ColumnElement[bool]:
    return and_(
        table.application_id == bindparam("id", type_=BigInteger),
        table.position > bindparam("gt", type_=BigInteger),
        table.position <= bindparam("lte", type_=BigInteger),
    )
