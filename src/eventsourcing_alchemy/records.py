"""The host's records, made of rows.

Their constructors take twice as long, because the records are frozen: each value is
set by a call. Where a page has 500 of them, that is what reading spends its time on.
"""

from uuid import UUID

from eventsourcing.persistence import Notification, StoredEvent

from eventsourcing_alchemy.executors import Rows


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
        found.append(notification)
    return found
