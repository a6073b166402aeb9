"""Whether every database can store the rows as they are."""

from collections.abc import Collection

from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.transfer.layouts import TAGGED, TEXTS, Layout
from eventsourcing_alchemy.operations.transfer.tags import each_tag
from eventsourcing_alchemy.schema.validation import LONGEST_TOPIC, checked_name
from eventsourcing_alchemy.statements.compiled import Rows


def check_texts(layout: Layout, rows: Rows) -> None:
    """Makes sure that the texts of events fit.

    Args:
        layout: of the rows.
        rows: events.

    Raises:
        DataError: names the position, and what does not fit.
    """
    try:
        _check(layout, rows)
    except DataError:
        # Each by itself, to find out which one it is.
        for row in rows:
            try:
                _check(layout, [row])
            except DataError as error:
                raise DataError(f"Position {row[0]}: {error}") from None
        raise


def _check(layout: Layout, rows: Rows) -> None:
    if layout is TAGGED:
        _check_names("type", _values(layout, "type", rows))
        _check_names("tag", {tag for row in rows for tag in each_tag(row)})
        return
    for topic in _values(layout, "topic", rows):
        checked_name("topic", topic, LONGEST_TOPIC)
    if layout is TEXTS:
        _check_names("originator_id", _values(layout, "originator_id", rows))


def _check_names(what: str, names: Collection[str]) -> None:
    for name in names:
        checked_name(what, name)


def _values(layout: Layout, column: str, rows: Rows) -> Collection[str]:
    index = layout.columns.index(column)
    return {row[index] for row in rows}
