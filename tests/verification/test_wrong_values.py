"""Values that are not of the type of their column, which SQLite stores, are named."""

from __future__ import annotations

from uuid import UUID

import pytest
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.persistence import StoredEvent, Tracking

from backends import Capability
from eventsourcing_alchemy import SQLAlchemyFactory
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.dialects.sqlite import stored_values
from eventsourcing_alchemy.operations import overview, reading, topics
from eventsourcing_alchemy.operations.events import (
    aggregate_history,
    event_at,
    newest,
)
from eventsourcing_alchemy.operations.verify import verify
from eventsourcing_alchemy.operations.wrong_values import WrongValueError
from factories import OpenFactory

pytestmark = pytest.mark.needs(Capability.ANY_VALUE)

ID = UUID(int=7)
NOT_ALL = "not all checks are possible: correct these values, and call 'verify' again"


@pytest.fixture
def store(factory: SQLAlchemyFactory) -> SQLAlchemyDatastore:
    """A database in which everything is as it has to be."""
    events = [StoredEvent(ID, version, "topic", b"state") for version in (1, 2, 3)]
    factory.application_recorder().insert_events(events)
    factory.aggregate_recorder("snapshots").insert_events(events[:1])
    factory.tracking_recorder().insert_tracking(Tracking("Application", 3))
    factory.dcb_recorder()
    assert found(factory.datastore) == []
    return factory.datastore


def set_value(store: SQLAlchemyDatastore, statement: str) -> None:
    with store.transaction() as connection:
        connection.exec_driver_sql(f"UPDATE {statement}")


def found(
    store: SQLAlchemyDatastore, application: str | None = None
) -> list[tuple[str | None, int | None, str]]:
    return [
        (each.application, each.position, each.problem)
        for each in verify(store, application)
    ]


THIRD = "WHERE notification_id = 3"


@pytest.mark.parametrize(
    ("statement", "position", "problem"),
    [
        (
            f"es_events SET state = 'text' {THIRD}",
            3,
            "es_events: state is text, not bytes",
        ),
        (
            f"es_events SET state = 17 {THIRD}",
            3,
            "es_events: state is a whole number, not bytes",
        ),
        (
            f"es_events SET originator_id = 'me' {THIRD}",
            3,
            "es_events: originator_id 'me' is text, not a UUID of 16 bytes",
        ),
        (
            f"es_events SET originator_id = x'00ff' {THIRD}",
            3,
            "es_events: originator_id X'00FF' is bytes, not a UUID of 16 bytes",
        ),
        (
            f"es_events SET topic = x'ff' {THIRD}",
            3,
            "es_events: topic X'FF' is bytes, not text",
        ),
        (
            f"es_events SET recorded_at = 'today' {THIRD}",
            3,
            "es_events: recorded_at 'today' is text, not a time",
        ),
        (
            f"es_events SET recorded_at = '2026-02-30 12:00:00' {THIRD}",
            3,
            "es_events: recorded_at '2026-02-30 12:00:00' is text, not a time",
        ),
        (
            f"es_events SET originator_version = 'a' {THIRD}",
            3,
            "es_events: originator_version 'a' is text, not a whole number",
        ),
        (
            f"es_events SET notification_id = 'a' {THIRD}",
            None,
            "es_events: notification_id 'a' is text, not a whole number",
        ),
        (
            f"es_events SET notification_id = 3.5 {THIRD}",
            None,
            "es_events: notification_id 3.5 is a number with a fraction, not a whole",
        ),
        (
            "es_applications SET last_notification_id = 'a'",
            None,
            "es_applications, id 1: last_notification_id 'a' is text, not a whole",
        ),
        (
            "es_tracking SET notification_id = 'a'",
            None,
            "es_tracking, projection_name 'Application': notification_id 'a' is text",
        ),
        (
            "es_snapshots SET state = 'text'",
            None,
            "es_snapshots, purpose 'snapshots', originator_id X'00000000000000000000",
        ),
    ],
)
def test_each_is_named(
    store: SQLAlchemyDatastore, statement: str, position: int | None, problem: str
) -> None:
    set_value(store, statement)
    for named in found(store)[0], found(store, "Application")[0]:
        assert named[:2] == ("Application", position)
        assert named[2].startswith(problem)


def test_all_are_named(
    store: SQLAlchemyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_values, "PAGE", 1)
    set_value(store, "es_events SET topic = x'ff', state = 1, recorded_at = 'today'")
    set_value(store, "es_applications SET last_notification_id = 'a'")
    named = found(store)
    assert len(named) == 1 + 3 * 3 + 1
    assert named[-1] == (None, None, NOT_ALL)


def test_of_one_application(
    store: SQLAlchemyDatastore, open_factory: OpenFactory
) -> None:
    set_value(store, "es_events SET state = 'text'")
    if store.settings.url.database in (None, ":memory:"):
        return
    other = open_factory("Other")
    other.dcb_recorder().append([DCBEvent("T", b"data", ["tag"])])
    assert found(store, "Other") == []
    set_value(store, "es_dcb_events SET tags = x'ff'")
    assert found(store, "Other")[0] == (
        "Other",
        1,
        "es_dcb_events: tags X'FF' is bytes, not text",
    )


def test_readers_name_the_first(store: SQLAlchemyDatastore) -> None:
    set_value(store, "es_events SET state = 'text'")
    named = "^'Application', position 1: es_events: state is text, not bytes"
    for read in (
        lambda: newest(store, "Application"),
        lambda: event_at(store, "Application", 2),
        lambda: aggregate_history(store, "Application", str(ID)),
    ):
        with pytest.raises(WrongValueError, match=named):
            read()


def test_overview_and_topics_name_it(store: SQLAlchemyDatastore) -> None:
    set_value(store, f"es_events SET topic = x'ff' {THIRD}")
    with pytest.raises(WrongValueError, match="position 3: es_events: topic X'FF' is"):
        topics.topic_counts(store, "Application")
    set_value(store, "es_applications SET last_notification_id = 'a'")
    with pytest.raises(WrongValueError, match="last_notification_id 'a' is text"):
        overview.overview(store)


def test_errors_of_other_kinds_are_left_alone(store: SQLAlchemyDatastore) -> None:
    with pytest.raises(ValueError, match="no integer"):
        reading.read(store, lambda _: int("no integer"))
