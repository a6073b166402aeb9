"""What is wrong with a database is found, and named by position."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.persistence import DataError, StoredEvent, Tracking
from sqlalchemy import Executable, Table, delete, insert, select, update

from backends import Capability
from eventsourcing_alchemy import (
    Lease,
    SQLAlchemyDCBRecorder,
    SQLAlchemyFactory,
    metadata,
)
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.operations.verification import (
    database,
    positions,
    projections,
    tags,
    versions,
)
from eventsourcing_alchemy.operations.verify import verify
from factories import OpenFactory

applications = metadata.tables["es_applications"]
events = metadata.tables["es_events"]
text_events = metadata.tables["es_text_events"]
snapshots = metadata.tables["es_snapshots"]
tracking = metadata.tables["es_tracking"]
dead_letters = metadata.tables["es_dead_letters"]
leases = metadata.tables["es_leases"]
dcb_events = metadata.tables["es_dcb_events"]
dcb_tags = metadata.tables["es_dcb_tags"]

IDS = [uuid4() for _ in range(3)]
LAST = 12


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is looked at in parts be in several."""
    monkeypatch.setattr(database, "WINDOW", 5)
    monkeypatch.setattr(positions, "READ_AT_ONCE", 2)
    monkeypatch.setattr(projections, "PAGE", 2)
    monkeypatch.setattr(tags, "BUCKET", 4)


@pytest.fixture
def store(factory: SQLAlchemyFactory) -> SQLAlchemyDatastore:
    """A database in which everything is as it has to be."""
    recorder = factory.application_recorder()
    recorder.insert_events(
        [
            StoredEvent(each, version, "topic", b"state")
            for version in range(1, 5)
            for each in IDS
        ]
    )
    factory.aggregate_recorder("snapshots").insert_events(
        [StoredEvent(each, 3, "snapshot", b"state") for each in IDS]
    )
    factory.tracking_recorder().insert_tracking(Tracking("Application", LAST))
    return factory.datastore


@pytest.fixture
def tagged(open_factory: OpenFactory) -> SQLAlchemyDatastore:
    """The same, of an application with tags."""
    factory = open_factory("Tagged")
    factory.dcb_recorder().append(
        [DCBEvent("T", b"data", [f"tag{n}", "tag", "tag"]) for n in range(10)]
    )
    return factory.datastore


def execute(store: SQLAlchemyDatastore, *statements: Executable) -> None:
    with store.transaction() as connection:
        for statement in statements:
            connection.execute(statement)


def found(store: SQLAlchemyDatastore, *args: Any, **kwargs: Any) -> list[Any]:
    """Application, position and problem of each finding."""
    return [
        (each.application, each.position, each.problem)
        for each in verify(store, *args, **kwargs)
    ]


def at(position: int) -> Any:
    return events.c.notification_id == position


def test_nothing_wrong(store: SQLAlchemyDatastore, tagged: SQLAlchemyDatastore) -> None:
    assert found(store) == []
    assert found(tagged, "Tagged") == []
    assert found(store, "Application") == []


def test_no_applications(factory: SQLAlchemyFactory) -> None:
    factory.tracking_recorder()
    assert found(factory.datastore) == []
    with pytest.raises(UnknownNameError, match="'Nobody': the database has none"):
        found(factory.datastore, "Nobody")


def test_unknown_application(store: SQLAlchemyDatastore) -> None:
    with pytest.raises(UnknownNameError, match="database has 'Application'"):
        found(store, "application")


def test_missing_positions(store: SQLAlchemyDatastore) -> None:
    # The last versions of their aggregates, and what is at the beginning.
    execute(store, delete(events).where(events.c.notification_id.in_([1, 2, 11])))
    problems = found(store)
    assert problems[:2] == [
        ("Application", 1, "positions 1 to 2 are missing"),
        ("Application", 11, "position 11 is missing"),
    ]
    assert not [each for each in found(store, allow_gaps=True) if "missing" in each[2]]


def also_text_event(position: int) -> Executable:
    columns = text_events.c
    of_application = select(applications.c.id).scalar_subquery()
    return insert(text_events).values(
        {
            columns.application_id: of_application,
            columns.notification_id: position,
            columns.originator_id: "text",
            columns.originator_version: 1,
            columns.topic: "topic",
            columns.state: b"state",
        }
    )


def test_positions_of_two_events(store: SQLAlchemyDatastore) -> None:
    """They hide no missing one, though the number of events is right."""
    execute(store, delete(events).where(at(12)), also_text_event(11))
    execute(store, update(tracking).values(notification_id=11))
    execute(store, update(applications).values(last_notification_id=11))
    twice = "es_events and es_text_events each have an event at this position"
    assert found(store) == [("Application", 11, twice)]
    execute(store, delete(events).where(at(10)))
    assert found(store) == [
        ("Application", 10, "position 10 is missing"),
        ("Application", 11, twice),
    ]
    assert found(store, allow_gaps=True) == [("Application", 11, twice)]


def test_counter_behind(store: SQLAlchemyDatastore) -> None:
    execute(store, update(applications).values(last_notification_id=10))
    beyond = (
        "projection 'Application' has processed this position, but the last event is "
        "at 10"
    )
    behind = (
        "es_applications says that 10 is the last position, but there are events up to "
        "12: the next append fails"
    )
    assert found(store) == [
        ("Application", LAST, beyond),
        ("Application", LAST, behind),
    ]


def test_counter_ahead(store: SQLAlchemyDatastore) -> None:
    execute(store, update(applications).values(last_notification_id=15))
    problem = "positions 13 to 15 are missing"
    assert found(store) == [("Application", 13, problem)]
    assert found(store, allow_gaps=True) == []


def test_counter_far_ahead(store: SQLAlchemyDatastore) -> None:
    execute(store, update(applications).values(last_notification_id=10**15))
    problem = f"positions 13 to {10**15} are missing"
    assert found(store) == [("Application", 13, problem)]


@pytest.mark.parametrize("erased", [IDS[:1], IDS[2:], IDS])
def test_erased_aggregates(store: SQLAlchemyDatastore, erased: list[UUID]) -> None:
    """As the guide to personal data erases them: also the last event, and all."""
    for table in events, snapshots:
        execute(store, delete(table).where(table.c.originator_id.in_(erased)))
    assert found(store, allow_gaps=True) == []
    assert all("missing" in problem for *_, problem in found(store))


def test_position_below_the_first(store: SQLAlchemyDatastore) -> None:
    execute(store, update(events).where(at(11)).values(notification_id=-5))
    problem = "es_events has an event below position 1: no reader finds it"
    assert ("Application", -5, problem) in found(store, allow_gaps=True)


def test_missing_version(store: SQLAlchemyDatastore) -> None:
    execute(store, delete(events).where(at(5)))
    problem = f"version 3 of aggregate {IDS[1]} has no version 2 before it"
    assert found(store, allow_gaps=True) == [("Application", 8, problem)]


def test_snapshot_of_no_event(store: SQLAlchemyDatastore) -> None:
    execute(store, update(snapshots).where(_is(snapshots)).values(originator_version=9))
    problem = f"the snapshot of aggregate {IDS[0]} at version 9 has no event"
    assert found(store) == [("Application", None, problem)]


def _is(table: Table) -> Any:
    return table.c.originator_id == IDS[0]


def test_many_snapshots(
    store: SQLAlchemyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "PAGE", 1)
    versions._snapshots.cache_clear()
    execute(store, update(snapshots).values(originator_version=9))
    problems = {problem for *_, problem in found(store)}
    versions._snapshots.cache_clear()
    assert len(problems) == 3


def test_position_beyond_the_end(store: SQLAlchemyDatastore) -> None:
    execute(
        store,
        update(tracking).values(notification_id=13),
        insert(tracking).values(
            projection_name="Far", application_name="Elsewhere", notification_id=99
        ),
    )
    problem = (
        "projection 'Application' has processed this position, but the last event is "
        "at 12"
    )
    assert found(store) == [("Application", 13, problem)]
    assert found(store, "Application") == [("Application", 13, problem)]


def letter(
    projection: str, position: int, application: str = "Application"
) -> Executable:
    return insert(dead_letters).values(
        projection_name=projection,
        application_name=application,
        notification_id=position,
        topic="topic",
        error="error",
        attempts=1,
    )


def test_dead_letters_of_nothing(store: SQLAlchemyDatastore) -> None:
    execute(
        store,
        letter("Application", 5),
        letter("Nobody", 6),
        delete(events).where(at(11)),
        letter("Application", 11),
        letter("Application", 14),
    )
    assert sorted(each for each in found(store, allow_gaps=True)) == [
        (
            "Application",
            6,
            "there is a dead letter of projection 'Nobody', which has reached nothing",
        ),
        (
            "Application",
            11,
            "there is a dead letter of projection 'Application', but no event",
        ),
        (
            "Application",
            14,
            "there is a dead letter of projection 'Application', but no event",
        ),
        (
            "Application",
            14,
            "there is a dead letter of projection 'Application', which has reached 12",
        ),
    ]


@pytest.mark.needs(Capability.SHARED)
def test_many_dead_letters_of_nothing(
    store: SQLAlchemyDatastore, tagged: SQLAlchemyDatastore
) -> None:
    """Those of one application hide none of another."""
    execute(store, *(letter("Application", position) for position in range(14, 19)))
    execute(tagged, letter("Nobody", 3, "Tagged"), letter("Somebody", 3, "Tagged"))
    assert len(found(store)) == 2 * 5 + 2
    assert found(store, "Application") == [
        each for each in found(store) if each[0] == "Application"
    ]
    reached = "there is a dead letter of projection {!r}, which has reached nothing"
    assert found(store, "Tagged") == [
        ("Tagged", 3, reached.format("Nobody")),
        ("Tagged", 3, reached.format("Somebody")),
    ]


def test_versions_in_another_order(store: SQLAlchemyDatastore) -> None:
    # Versions 2 and 3 of the first aggregate are at 4 and 7.
    moves = ((4, 100), (7, 4), (100, 7))
    execute(
        store,
        *(update(events).where(at(a)).values(notification_id=b) for a, b in moves),
    )
    problem = f"version 3 of aggregate {IDS[0]} has no version 2 before it"
    assert found(store) == [("Application", 4, f"{problem}, but at position 7")]


def test_negative_positions_of_projections(store: SQLAlchemyDatastore) -> None:
    execute(store, update(tracking).values(notification_id=-1))
    problem = "projection 'Application' is at this position, but 1 is the first"
    assert found(store) == [("Application", -1, problem)]


def test_a_database_of_views(factory: SQLAlchemyFactory) -> None:
    """Before the first event, and after a reset: its applications are elsewhere."""
    datastore = factory.tracking_recorder().datastore
    released = Lease(datastore, "balances", "Bank")
    assert released.acquire()
    released.release()
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    execute(datastore, update(leases).values(expires_at=long_ago))
    assert found(datastore) == []


def test_missing_and_wrong_tags(tagged: SQLAlchemyDatastore) -> None:
    name = dcb_tags.c.tag
    execute(
        tagged,
        delete(dcb_tags).where(name == "tag2"),
        update(dcb_tags).where(name == "tag4").values(position=7),
        update(dcb_tags).where(name == "tag8").values(type="U"),
    )
    hidden = "has tag {!r}, but es_dcb_tags does not: queries by this tag miss it"
    wrong = "es_dcb_tags has tag {!r} of type {!r}, but no such event"
    assert found(tagged, "Tagged") == [
        ("Tagged", 3, hidden.format("tag2")),
        ("Tagged", 5, hidden.format("tag4")),
        ("Tagged", 7, wrong.format("tag4", "T")),
        ("Tagged", 9, hidden.format("tag8")),
        ("Tagged", 9, wrong.format("tag8", "U")),
    ]


@pytest.mark.parametrize("damaged", ["[", '{"tag": 1}', "[7]"])
def test_tags_that_are_damaged(tagged: SQLAlchemyDatastore, damaged: str) -> None:
    execute(
        tagged,
        update(dcb_events).where(dcb_events.c.position == 3).values(tags=damaged),
    )
    wrong = "es_dcb_tags has tag {!r} of type 'T', but no such event"
    assert sorted(found(tagged, "Tagged")) == sorted(
        [
            ("Tagged", 3, "has tags that are no JSON array of texts: reads fail there"),
            ("Tagged", 3, wrong.format("tag")),
            ("Tagged", 3, wrong.format("tag2")),
        ]
    )
    recorder = SQLAlchemyDCBRecorder(tagged, "Tagged")
    assert len(list(recorder.read(limit=2))) == 2
    with pytest.raises(DataError, match="event at position 3 are damaged"):
        list(recorder.read(after=1))


@pytest.fixture
def _small_index_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    cached = tags._first_of_index, tags._index_after
    monkeypatch.setattr(tags, "PAGE", 2)
    for each in cached:
        each.cache_clear()
    yield
    for each in cached:
        each.cache_clear()


@pytest.mark.usefixtures("_small_index_pages")
def test_tags_beyond_the_end(tagged: SQLAlchemyDatastore) -> None:
    """The events that will be there some time would be found by them."""
    rows = [
        {"tag": tag, "position": position, "type": "T"}
        for tag, position in (("b", 11), ("a", 11), ("tag", 12), ("tag", 2**62))
    ]
    of_application = (
        select(applications.c.id)
        .where(applications.c.name == "Tagged")
        .scalar_subquery()
    )
    execute(
        tagged,
        *(
            insert(dcb_tags).values(application_id=of_application, **row)
            for row in rows
        ),
    )
    problem = "es_dcb_tags has tag {!r} of type 'T', but no such event"
    assert found(tagged, "Tagged") == [
        ("Tagged", 11, problem.format("a")),
        ("Tagged", 11, problem.format("b")),
        ("Tagged", 12, problem.format("tag")),
        ("Tagged", 2**62, problem.format("tag")),
    ]


def test_append_while_it_looks(
    tagged: SQLAlchemyDatastore,
    open_factory: OpenFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorder = open_factory("Tagged").dcb_recorder()
    of_events = tags._of_events

    def and_append(*args: Any) -> Iterator[tags.Tag]:
        yield from of_events(*args)
        recorder.append([DCBEvent("T", b"data", ["tag"])])

    monkeypatch.setattr(tags, "_of_events", and_append)
    assert found(tagged, "Tagged") == []


def test_missing_event_with_tags(tagged: SQLAlchemyDatastore) -> None:
    execute(tagged, delete(dcb_events).where(dcb_events.c.position == 4))
    assert [(position, problem[:12]) for _, position, problem in found(tagged)] == [
        (4, "position 4 i"),
        (4, "es_dcb_tags "),
        (4, "es_dcb_tags "),
    ]


def test_records_of_no_application(store: SQLAlchemyDatastore) -> None:
    with store.transaction() as connection:
        gone = connection.scalar(select(applications.c.id))
        connection.execute(delete(applications))
    problem = (
        f"has records with application_id {gone}, but es_applications has no such row"
    )
    assert found(store) == [
        (None, None, f"{table} {problem}") for table in ("es_events", "es_snapshots")
    ]
