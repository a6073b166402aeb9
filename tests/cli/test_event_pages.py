"""Pages of stored events, as commands and pages show them."""

from __future__ import annotations

import json
import zlib
from threading import Event
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.persistence import StoredEvent

from eventsourcing_alchemy import SQLAlchemyFactory
from eventsourcing_alchemy.operations import events
from eventsourcing_alchemy.operations.reading import UnknownNameError
from factories import OpenFactory


def stored(factory: SQLAlchemyFactory, count: int) -> str:
    """Record events of an aggregate: each third one of a rarer topic."""
    aggregate_id = uuid4()
    factory.application_recorder().insert_events(
        [
            StoredEvent(aggregate_id, n, f"t:{n % 3}", json.dumps({"n": n}).encode())
            for n in range(1, count + 1)
        ]
    )
    return str(aggregate_id)


def positions(page: events.Page) -> list[int | None]:
    return [each.position for each in page.events]


def test_newest_and_older(factory: SQLAlchemyFactory) -> None:
    stored(factory, 25)
    page = events.newest(factory.datastore, "Application", limit=10)
    assert positions(page) == list(range(16, 26))
    assert (page.older, page.newer) == (16, None)
    older = events.newest(factory.datastore, "Application", before=page.older, limit=20)
    assert positions(older) == list(range(1, 16))
    assert (older.older, older.newer) == (None, 15)


def test_of_a_topic(factory: SQLAlchemyFactory) -> None:
    stored(factory, 30)
    page = events.newest(factory.datastore, "Application", topic="t:0", limit=4)
    assert positions(page) == [21, 24, 27, 30]
    assert page.older == 21
    page = events.following(
        factory.datastore, "Application", after=20, topic="t:0", limit=9
    )
    assert positions(page) == [21, 24, 27, 30]
    assert (page.low, page.high, page.newer) == (20, 30, None)


def test_history(factory: SQLAlchemyFactory) -> None:
    stored(factory, 2)
    aggregate_id = stored(factory, 3)
    snapshots = factory.aggregate_recorder("snapshots")
    snapshots.insert_events([StoredEvent(uuid4(), 1, "s:1", b"{}")])
    history = events.aggregate_history(factory.datastore, "Application", aggregate_id)
    assert [each.version for each in history.events] == [1, 2, 3]
    assert [each.position for each in history.events] == [3, 4, 5]
    assert history.snapshots == []
    with pytest.raises(UnknownNameError, match="no aggregate"):
        events.aggregate_history(factory.datastore, "Application", "ada")
    with pytest.raises(UnknownNameError, match="it has 'Application'"):
        events.newest(factory.datastore, "Other")


def test_text_ids(open_factory: OpenFactory) -> None:
    factory = open_factory(ORIGINATOR_ID_TYPE="text")
    recorder = factory.application_recorder()
    recorder.insert_events([StoredEvent("ada", 1, "t:1", b"{}")])
    history = events.aggregate_history(factory.datastore, "Application", "ada")
    assert history.events[0].aggregate_id == "ada"


def test_events_with_tags(factory: SQLAlchemyFactory) -> None:
    factory.dcb_recorder().append([DCBEvent("Opened", b'{"a": 1}', ["x", "y"])])
    (event,) = events.newest(factory.datastore, "Application").events
    assert (event.topic, sorted(event.tags)) == ("Opened", ["x", "y"])
    assert event.state.value == {"a": 1}
    assert event.aggregate_id is None


def test_states_that_are_not_shown(factory: SQLAlchemyFactory) -> None:
    large = b'"' + b"x" * 50_000 + b'"'
    states = [zlib.compress(b"{}"), b"\xff\x00", large, b"null", b"NaN", b"[1e999]"]
    factory.application_recorder().insert_events(
        [StoredEvent(uuid4(), 1, "t:1", state) for state in states]
    )
    found = [
        each.state for each in events.newest(factory.datastore, "Application").events
    ]
    assert [each.size for each in found] == [len(state) for state in states]
    reasons = [each.reason or "" for each in found]
    assert "compressed" in reasons[0]
    assert "not plain" in reasons[1]
    assert "large" in reasons[2]
    assert (found[3].value, found[3].reason) == (None, None)
    assert "not plain" in (found[4].reason or "")
    assert "not plain" in (found[5].reason or "")
    alone = events.event_at(factory.datastore, "Application", 3)
    assert len(alone.state.value) == 50_000


def test_following(factory: SQLAlchemyFactory) -> None:
    stored(factory, 60)
    stopping = Event()
    seen = []
    for each in events.follow(
        factory.datastore, "Application", after=2, stopping=stopping
    ):
        seen.append(each.position)
        if len(seen) == 58:
            stored(factory, 1)
        if len(seen) == 59:
            stopping.set()
    assert seen == list(range(3, 62))


def test_a_page_ends_where_it_has_looked_at_enough(
    factory: SQLAlchemyFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(factory, 100)
    factory.application_recorder().insert_events(
        [StoredEvent(uuid4(), 1, "t:rare", b"{}")]
    )
    stored(factory, 100)
    monkeypatch.setattr(events, "MOST_LOOKED_AT", 60)
    page = events.newest(factory.datastore, "Application", topic="t:rare")
    assert (positions(page), page.older) == ([], 142)
    found = []
    while page.older is not None:
        page = events.newest(
            factory.datastore, "Application", before=page.older, topic="t:rare"
        )
        found += positions(page)
    assert found == [101]
    page = events.following(factory.datastore, "Application", after=0, topic="t:rare")
    assert (positions(page), page.newer) == ([], 60)
