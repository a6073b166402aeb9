"""Stored events and snapshots, as they are shown."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isinf
from typing import Any, NoReturn
from uuid import UUID

from sqlalchemy import Row

from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.reading import in_utc
from eventsourcing_alchemy.statements.row_mapping import tags_of

DEEPEST = 100
"""Lists and objects within each other: who writes them recurs, and has an end."""


@dataclass(frozen=True)
class StoredState:
    """The state of an event.

    Attributes:
        size: bytes that are stored.
        value: what the JSON says; None where `reason` says why it is not shown.
        reason: None where `value` is shown.
    """

    size: int
    value: Any
    reason: str | None


@dataclass(frozen=True)
class StoredRecord:
    """A stored event, or snapshot.

    Attributes:
        position: of the event in its application; None for a snapshot.
        aggregate_id: of the aggregate; None where events have tags.
        version: of the aggregate; None where events have tags.
        topic: of the event; its type, where events have tags.
        tags: of the event.
        recorded_at: in UTC, by the database's clock.
        state: of the event.
    """

    position: int | None
    aggregate_id: UUID | str | None
    version: int | None
    topic: str
    tags: Sequence[str]
    recorded_at: datetime
    state: StoredState


def stored_record(row: Row[Any]) -> StoredRecord:
    """The record of a row."""
    return StoredRecord(
        position=row.position,
        aggregate_id=row.aggregate_id,
        version=row.version,
        topic=row.topic,
        tags=_tags(row),
        recorded_at=in_utc(row.recorded_at),
        state=stored_state(row.size, row.state),
    )


def _tags(row: Row[Any]) -> Sequence[str]:
    if row.tags is None:
        return ()
    try:
        return tags_of(row.position, row.tags)
    except DataError:  # What is damaged is shown as it is.
        return (row.tags,)


def stored_state(size: int, state: bytes | None) -> StoredState:
    """A state, decoded if it is plain JSON.

    Args:
        size: bytes that are stored.
        state: None if it was too large to be read.
    """
    if state is None:
        return StoredState(size, None, "too large to be shown here")
    try:
        value = json.loads(
            bytes(state).decode(), parse_constant=_refuse, parse_float=_finite
        )
    except (ValueError, RecursionError):
        return StoredState(size, None, _reason(bytes(state)))
    if _depth(value) > DEEPEST:
        return StoredState(size, None, "nested too deeply to be shown")
    return StoredState(size, value, None)


def _depth(value: Any) -> int:
    """Of lists and objects within each other."""
    depth, level = 0, [value]
    while level := [
        inner
        for each in level
        if isinstance(each, list | dict)
        for inner in (each.values() if isinstance(each, dict) else each)
    ]:
        depth += 1
    return depth


def _refuse(constant: str) -> NoReturn:
    # Python reads and writes NaN; nobody else would read the document.
    raise ValueError(constant)


def _finite(number: str) -> float:
    # Python would write the infinity that it reads from 1e999 as no JSON has it.
    value = float(number)
    return _refuse(number) if isinf(value) else value


def _reason(state: bytes) -> str:
    if state.startswith(b"\x78"):  # As what zlib has compressed.
        return "not plain JSON: compressed, by the look of it"
    return "not plain JSON: encrypted, or of another transcoder"
