"""Whether two databases have the same records."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.transfer.layouts import Layout, Row
from eventsourcing_alchemy.operations.transfer.log import Log
from eventsourcing_alchemy.operations.transfer.snapshots import COLUMNS, Snapshots
from eventsourcing_alchemy.statements.compiled import Rows

Count = Callable[[int], None]
"""Is told how many records were looked at."""


def compared_events(
    application: str,
    source: Log,
    target: Log,
    gt: int,
    lte: int,
    count: Callable[[int, int], None],
) -> Iterator[Discrepancy]:
    """The differences between the events of two databases, in every column.

    Args:
        application: name of it.
        source: has the events.
        target: has to have the same, where the source has them.
        gt: position above which to compare.
        lte: position up to which to compare.
        count: is told how many were compared, and the last position.
    """
    while True:
        there = source.page(gt, lte)
        upto = there[-1][0] if there else lte
        here = target.page(gt, upto)
        if not there and not here:
            return
        # A page may end early, by its size.
        bound = here[-1][0] if here else upto
        if there != here:
            differences = _differences(there, here, bound, source.layout)
            yield from (
                Discrepancy(application, position, problem)
                for position, problem in differences
            )
        count(len(here), bound)
        gt = bound


def _differences(
    there: Rows, here: Rows, bound: int, layout: Layout
) -> Iterator[tuple[int, str]]:
    in_source, in_target = (
        {row[0]: tuple(row) for row in rows if row[0] <= bound}
        for rows in (there, here)
    )
    for position in sorted({*in_source, *in_target}):
        problem = difference(
            in_source.get(position), in_target.get(position), layout.columns
        )
        if problem is not None:
            yield position, problem


def compared_snapshots(
    application: str, source: Snapshots, target: Snapshots, count: Count
) -> Iterator[Discrepancy]:
    """The snapshots of the source that the target does not have as they are.

    Args:
        application: name of it.
        source: has snapshots.
        target: has to have the same, and may have more.
        count: is told how many were compared.
    """
    for keys in source.pages():
        here = target.by_key(keys)
        yield from different_snapshots(application, source.rows(keys), here)
        count(len(keys))


def different_snapshots(
    application: str, there: Sequence[Row], here: Mapping[tuple[Any, int], Row]
) -> Iterator[Discrepancy]:
    """The snapshots that the target does not have as they are.

    Args:
        application: name of it.
        there: in the source.
        here: in the target, by ID and version.
    """
    for row in there:
        problem = difference(row, here.get((row[0], row[1])), COLUMNS)
        if problem is not None:
            name = f"snapshot of {row[0]} at version {row[1]}"
            yield Discrepancy(application, None, f"{name} {problem}")


def difference(
    there: Row | None, here: Row | None, columns: tuple[str, ...]
) -> str | None:
    """In what a record of the target differs from that of the source.

    Args:
        there: in the source, None if it is missing.
        here: in the target, None if it is missing.
        columns: names of what is in both.

    Returns:
        None if they are the same.
    """
    if there == here:
        return None
    if here is None:
        return "is missing in the target"
    if there is None:
        return "is in the target only"
    names = [
        name
        for name, one, other in zip(columns, there, here, strict=True)
        if one != other
    ]
    return f"differs in {', '.join(names)}"
