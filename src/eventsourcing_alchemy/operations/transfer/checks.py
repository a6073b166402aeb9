"""Whether every database can store the records as they are."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.transfer.layouts import TAGGED, TEXTS, Layout
from eventsourcing_alchemy.operations.transfer.tags import each_tag
from eventsourcing_alchemy.operations.transfer.values import set_id_type
from eventsourcing_alchemy.schema.validation import LONGEST_TOPIC, checked_name
from eventsourcing_alchemy.statements.compiled import Rows

Types = tuple[type, ...]

_NUMBER: Types = (int,)
_TEXT: Types = (str,)
_UUID: Types = (UUID,)
_BYTES: Types = (bytes, bytearray, memoryview)

_TYPES: Mapping[str, Types] = {
    "notification_id": _NUMBER,
    "position": _NUMBER,
    "originator_version": _NUMBER,
    "topic": _TEXT,
    "type": _TEXT,
    "tags": _TEXT,
    "state": _BYTES,
    "data": _BYTES,
    "append_id": _UUID,
}
"""By the name of the column. Of IDs, it depends on the aggregates."""

_CALLED: Mapping[type, str] = {
    int: "a whole number",
    str: "text",
    UUID: "a UUID",
    bytes: "bytes",
    float: "a number with a fraction",
    type(None): "missing",
}


def check_events(layout: Layout, rows: Rows) -> None:
    """Makes sure that events of the source are complete, and fit.

    Args:
        layout: of the rows.
        rows: events.

    Raises:
        DataError: names the position, and what does not fit.
    """
    _check_each(
        rows,
        partial(_check_event_rows, layout),
        lambda row: f"Position {row[0]} of the source",
    )


def check_snapshots(columns: Collection[str], id_type: str | None, rows: Rows) -> None:
    """The same, of snapshots.

    Args:
        columns: of the rows, ID and version first.
        id_type: value of ORIGINATOR_ID_TYPE.
        rows: snapshots.

    Raises:
        DataError: names the snapshot, and what does not fit.
    """
    _check_each(
        rows,
        partial(_check_types, columns, id_type),
        lambda row: f"The snapshot of {row[0]} at version {row[1]} of the source",
    )


def _check_each(
    rows: Rows, check: Callable[[Rows], None], name: Callable[[Any], str]
) -> None:
    try:
        check(rows)
    except DataError:
        # Each by itself, to find out which one it is.
        for row in rows:
            try:
                check([row])
            except DataError as error:
                raise DataError(f"{name(row)}: {error}") from None
        raise


def _check_event_rows(layout: Layout, rows: Rows) -> None:
    _check_types(layout.columns, layout.id_type, rows)
    if layout is TAGGED:
        _check_names("type", _values(layout, "type", rows))
        _check_names("tag", {tag for row in rows for tag in each_tag(row)})
        return
    for topic in _values(layout, "topic", rows):
        checked_name("topic", topic, LONGEST_TOPIC)
    if layout is TEXTS:
        _check_names("originator_id", _values(layout, "originator_id", rows))


def _check_types(columns: Collection[str], id_type: str | None, rows: Rows) -> None:
    types = {**_TYPES, "originator_id": _UUID if id_type == "uuid" else _TEXT}
    for name, values in zip(columns, zip(*rows, strict=True), strict=False):
        expected = types.get(name)
        if expected is None:  # The time, which may be missing.
            continue
        for found in set(map(type, values)):
            if not issubclass(found, expected):
                raise DataError(_problem(name, found, expected[0]))


def _problem(name: str, found: type, expected: type) -> str:
    called = _CALLED.get(found, found.__name__)
    problem = f"{name} is {called}, not {_CALLED[expected]}"
    if name == "originator_id" and found in (str, UUID):
        problem += f": {set_id_type('text' if found is str else 'uuid')}"
    return problem


def _check_names(what: str, names: Collection[str]) -> None:
    for name in names:
        checked_name(what, name)


def _values(layout: Layout, column: str, rows: Rows) -> Collection[str]:
    index = layout.columns.index(column)
    return {row[index] for row in rows}
