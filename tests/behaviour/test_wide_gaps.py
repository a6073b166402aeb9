"""Gaps of more positions than anybody could look at, as in events that were copied."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import StoredEvent
from sqlalchemy import Column, delete, update

from backends import Capability
from eventsourcing_alchemy import SQLAlchemyFactory, verify
from eventsourcing_alchemy.operations.events import following, newest
from eventsourcing_alchemy.operations.topics import topic_counts
from eventsourcing_alchemy.schema.tables import (
    applications,
    dcb_events,
    dcb_tags,
    events,
)
from factories import OpenFactory

FAR = 10**12
BEFORE = 3
POSITIONS = [1, 2, FAR]


def move(factory: SQLAlchemyFactory, *columns: Column[int]) -> None:
    """Have the last event at a position that is far away."""
    with factory.datastore.transaction() as connection:
        last = applications.c.last_notification_id
        of_name = applications.c.name == factory.env.name
        connection.execute(update(applications).where(of_name).values({last: FAR}))
        for column in columns:
            connection.execute(
                update(column.table).where(column == BEFORE).values({column: FAR})
            )


@pytest.fixture
def bank(open_factory: OpenFactory) -> SQLAlchemyFactory:
    factory = open_factory("Bank")
    factory.application_recorder().insert_events(
        [StoredEvent(uuid4(), 1, topic, b"") for topic in ("a", "b", "c")]
    )
    move(factory, events.c.notification_id)
    return factory


@pytest.fixture
def tagged(open_factory: OpenFactory) -> SQLAlchemyFactory:
    factory = open_factory("Tagged")
    factory.dcb_recorder().append(
        [DCBEvent(type=type_, data=b"", tags=["tag"]) for type_ in ("a", "b", "c")]
    )
    move(factory, dcb_events.c.position, dcb_tags.c.position)
    return factory


@pytest.mark.parametrize(
    ("topics", "found"),
    [
        ([], POSITIONS),
        (["c"], [FAR]),
        (["c", *map(str, range(1000))], [FAR]),
        (["d"], []),
    ],
)
def test_recorder(
    bank: SQLAlchemyFactory, topics: Sequence[str], found: Sequence[int]
) -> None:
    recorder = bank.application_recorder()
    pages = recorder.select_notifications(1, 10, topics=topics)
    assert [each.id for each in pages] == found
    bounded = recorder.select_notifications(1, 10, stop=FAR - 1, topics=topics)
    assert [each.id for each in bounded] == [each for each in found if each < FAR]
    with recorder.subscribe(topics=topics) as subscription:
        assert [next(subscription).id for _ in found] == found
        assert subscription.look() is None
        (last,) = recorder.insert_events([StoredEvent(uuid4(), 1, "c", b"")]) or ()
        assert last == FAR + 1
        if topics != ["d"]:
            assert next(subscription).id == last


def test_last_events_that_were_deleted(bank: SQLAlchemyFactory) -> None:
    recorder = bank.application_recorder()
    with bank.datastore.transaction() as connection:
        connection.execute(delete(events).where(events.c.notification_id > 1))
    assert [each.id for each in recorder.select_notifications(1, 10)] == [1]
    assert recorder.select_notifications(2, 10) == []
    with recorder.subscribe() as subscription:
        assert next(subscription).id == 1
        assert subscription.look() is None
        recorder.insert_events([StoredEvent(uuid4(), 1, "c", b"")])
        assert next(subscription).id == FAR + 1


@pytest.mark.parametrize("items", [[], [DCBQueryItem(types=["a", "c"], tags=["tag"])]])
def test_tagged_recorder(tagged: SQLAlchemyFactory, items: list[DCBQueryItem]) -> None:
    recorder, query = tagged.dcb_recorder(), DCBQuery(items=items)
    found = [1, FAR] if items else POSITIONS
    assert [each.position for each in recorder.read(query)] == found
    with recorder.subscribe(query) as subscription:
        assert [next(subscription).position for _ in found] == found


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.usefixtures("bank", "tagged")
@pytest.mark.parametrize("name", ["Bank", "Tagged"])
def test_operations(name: str, open_factory: OpenFactory) -> None:
    store = open_factory(name).datastore
    for topic, found in (None, POSITIONS), ("a", [1]), ("c", [FAR]):
        for page in (
            newest(store, name, topic=topic),
            following(store, name, after=0, topic=topic),
        ):
            assert [each.position for each in page.events] == found
            assert (page.low, page.high) == (0, FAR)
    page = newest(store, name, limit=1)
    assert page.older == FAR
    assert newest(store, name, before=page.older, limit=2).low == 0
    assert following(store, name, after=2).newer is None
    counted = [(each.topic, each.events) for each in topic_counts(store, name)]
    assert counted == [("a", 1), ("b", 1), ("c", 1)]
    assert list(verify(store, name, allow_gaps=True)) == []
    (missing,) = verify(store, name)
    assert missing.problem == f"positions 3 to {FAR - 1} are missing"
