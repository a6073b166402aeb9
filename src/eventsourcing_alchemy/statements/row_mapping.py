"""The host's records, made of rows.

Their constructors take twice as long, because the records are frozen: each value is
set by a call. Where a page has 500 of them, that is what reading spends its time on.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import MISSING, fields
from datetime import UTC
from typing import Any
from uuid import UUID

from eventsourcing_alchemy.host import DataError, Notification, StoredEvent
from eventsourcing_alchemy.statements.compiled import Rows


def defaults_of_unknown(record: type[Any], known: Collection[str]) -> dict[str, Any]:
    """The defaults of fields that this package does not know.

    A later version of the host may add fields to its records.

    Args:
        record: a dataclass.
        known: names of the fields that get values of a row.
    """
    return {
        field.name: field.default
        for field in fields(record)
        if field.name not in known and field.default is not MISSING
    }


_STORED = {"originator_id", "originator_version", "topic", "state"}
_UNKNOWN = defaults_of_unknown(StoredEvent, _STORED)
_UNKNOWN_OF_NOTIFICATIONS = defaults_of_unknown(Notification, {*_STORED, "id"})


def stored_events(originator_id: UUID | str, rows: Rows) -> list[StoredEvent]:
    """The events of an aggregate.

    Args:
        originator_id: of the aggregate.
        rows: version, topic and state of each event.
    """
    events = []
    for version, topic, state in rows:
        event = StoredEvent.__new__(StoredEvent)
        values = event.__dict__
        values["originator_id"] = originator_id
        values["originator_version"] = version
        values["topic"] = topic
        values["state"] = state
        values.update(_UNKNOWN)
        events.append(event)
    return events


def notifications(rows: Rows) -> list[Notification]:
    """The events of an application.

    Args:
        rows: position, originator's ID, version, topic and state of each event.
    """
    found = []
    for position, originator_id, version, topic, state in rows:
        notification = Notification.__new__(Notification)
        values = notification.__dict__
        values["originator_id"] = originator_id
        values["originator_version"] = version
        values["topic"] = topic
        values["state"] = state
        values["id"] = position
        values.update(_UNKNOWN_OF_NOTIFICATIONS)
        found.append(notification)
    return found


def age(row: Sequence[Any] | None) -> float | None:
    """Seconds between two times of the database, None if there is no row.

    Args:
        row: when something was recorded, and what time it is.
    """
    if row is None:
        return None
    recorded_at, now = (
        # In a zone with daylight saving, Python subtracts what the clocks show.
        time if time.tzinfo is None else time.astimezone(UTC)
        for time in row
    )
    seconds: float = (now - recorded_at).total_seconds()
    return max(0.0, seconds)


def tags_of(position: int, stored: str) -> list[str]:
    """The tags of an event, in their order.

    Args:
        position: of the event.
        stored: in its row.

    Raises:
        DataError: names the event, if what is stored are no tags.
    """
    try:
        tags = json.loads(stored)
    except ValueError:
        tags = None
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        return tags
    msg = (
        f"The tags of the event at position {position} are damaged: {stored!r} is no "
        "JSON array of texts. Restore the row from a backup, or correct it"
    )
    raise DataError(msg)
