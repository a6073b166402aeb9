"""What is recorded in the old database, and what is found in the new one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from uuid import UUID, uuid4

from eventsourcing.persistence import Notification, StoredEvent

from factories import OpenFactory


def uuids(number: int) -> list[UUID]:
    return [uuid4() for _ in range(number)]


def history(ids: Sequence[UUID | str], versions: int = 3) -> list[StoredEvent]:
    """Events of some aggregates, in turns."""
    return [
        StoredEvent(id_, version, f"topic-{version}", f"{id_} {version}".encode())
        for version in range(1, versions + 1)
        for id_ in ids
    ]


def recorded(open_factory: OpenFactory, **variables: str) -> Sequence[Notification]:
    """What the new database has of the application `Bank`."""
    recorder = open_factory("Bank", **variables).application_recorder()
    return recorder.select_notifications(None, 10**6)


def notifications(
    events: Sequence[StoredEvent], positions: Sequence[int] | None = None
) -> list[Notification]:
    """The events, at those positions, or from 1 on."""
    return [
        Notification(
            id=position,
            originator_id=event.originator_id,
            originator_version=event.originator_version,
            topic=event.topic,
            state=event.state,
        )
        for position, event in zip(positions or count(1), events, strict=False)
    ]
