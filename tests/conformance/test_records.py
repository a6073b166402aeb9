"""Records of the host, made of rows."""

from __future__ import annotations

from dataclasses import dataclass

from eventsourcing.persistence import Notification, StoredEvent

from eventsourcing_alchemy.statements import row_mapping


@dataclass(frozen=True)
class LaterNotification(Notification):
    """As a later version of the host may have it."""

    uuid: str = "nil"


def test_fields_that_are_not_known_get_their_defaults() -> None:
    known = {"originator_id", "originator_version", "topic", "state", "id"}
    found = row_mapping.defaults_of_unknown(LaterNotification, known)
    assert found == {"uuid": "nil"}


def test_records_equal_those_of_their_constructors() -> None:
    (event,) = row_mapping.stored_events("one", [(1, "topic", b"state")])
    assert event == StoredEvent("one", 1, "topic", b"state")
    (notification,) = row_mapping.notifications([(7, "one", 1, "topic", b"state")])
    assert notification == Notification("one", 1, "topic", b"state", id=7)
