"""What is recorded comes back as it was, and only where it belongs."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DataError,
    StoredEvent,
    Tracking,
)
from sqlalchemy import select

from backends import Capability
from behaviour.workers import new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.schema.tables import events
from factories import OpenFactory

pytestmark = pytest.mark.observed

ORIGINATOR_ID = UUID("00000000-0000-0000-0000-00000000002a")


def an_event(
    *,
    originator_id: UUID | str = ORIGINATOR_ID,
    originator_version: int = 1,
    topic: str = "topic",
    state: bytes = b"state",
) -> StoredEvent:
    return StoredEvent(originator_id, originator_version, topic, state)


@pytest.fixture
def recorder(open_factory: OpenFactory) -> ApplicationRecorder:
    return open_factory().application_recorder()


@pytest.fixture
def sql_recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


@pytest.fixture
def text_recorder(open_factory: OpenFactory) -> ApplicationRecorder:
    return open_factory(ORIGINATOR_ID_TYPE="text").application_recorder()


def assert_round_trip(recorder: ApplicationRecorder, *events: StoredEvent) -> None:
    """Record events of different aggregates, and read them in every way."""
    recorder.insert_events(events)
    for event in events:
        assert recorder.select_events(event.originator_id) == [event]
    notifications = recorder.select_notifications(None, len(events) + 1)
    assert [stored(each) for each in notifications] == list(events)
    with recorder.subscribe() as subscription:
        assert [stored(next(subscription)) for _ in events] == list(events)


def stored(event: StoredEvent) -> StoredEvent:
    """What a notification says about the event itself."""
    return StoredEvent(
        event.originator_id, event.originator_version, event.topic, event.state
    )


STATES = {
    "empty": b"",
    "every byte": bytes(range(256)),
    "zero": b"\0",
    "quoted": b"'\"\\%s:x{}",
    "64 KiB": b"\xff" * 2**16,
    "5 MB": bytes(range(256)) * (5 * 2**20 // 256),
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_states(recorder: ApplicationRecorder, state: bytes) -> None:
    assert_round_trip(recorder, an_event(state=state))


VIEWS = {
    "wide items": memoryview(array("I", range(5))),
    "dimensions": memoryview(b"abcdef").cast("B", (2, 3)),
    "gaps": memoryview(b"abc")[::2],
}


@pytest.mark.parametrize("state", VIEWS.values(), ids=VIEWS)
def test_states_that_are_views(open_factory: OpenFactory, state: memoryview) -> None:
    """Their length is not the number of their bytes."""
    factory = open_factory()
    versions = range(1, 3)
    given = [an_event(originator_version=each, state=state) for each in versions]  # type: ignore[arg-type]
    for recorder in factory.application_recorder(), factory.aggregate_recorder("s"):
        recorder.insert_events(given)
        assert recorder.select_events(ORIGINATOR_ID) == [
            an_event(originator_version=each, state=bytes(state)) for each in versions
        ]


def test_events_of_a_generator(open_factory: OpenFactory) -> None:
    factory = open_factory()
    recorder, snapshots = factory.process_recorder(), factory.aggregate_recorder("s")
    events = new_events(6)
    originator_id = events[0].originator_id

    def some(start: int, stop: int) -> Sequence[StoredEvent]:
        return (each for each in events[start:stop])  # type: ignore[return-value]

    assert recorder.insert_events(some(0, 2)) == [1, 2]
    assert recorder.insert_events(some(2, 4), Tracking("upstream", 1)) == [3, 4]
    with recorder.transaction() as connection:
        assert recorder.insert_events(some(4, 6), session=connection) == [5, 6]
    assert recorder.select_events(originator_id) == events
    snapshots.insert_events(some(0, 6))
    assert snapshots.select_events(originator_id) == events
    assert recorder.insert_events(some(6, 9)) == []


@pytest.mark.parametrize("version", [0, 1, 2**31, 2**63 - 1])
def test_versions(recorder: ApplicationRecorder, version: int) -> None:
    event = an_event(originator_version=version)
    assert_round_trip(recorder, event)
    select = recorder.select_events
    assert select(ORIGINATOR_ID, gt=version - 1, lte=version) == [event]
    assert select(ORIGINATOR_ID, gt=version) == []
    assert select(ORIGINATOR_ID, lte=version - 1) == []


@pytest.mark.parametrize(
    "topic",
    ["módulo:Ereignis.Größe", "事件:🐈", "t" * 1024, 'it\'s %s :x "quoted" \\n'],
    ids=["accents", "emoji", "long", "quoted"],
)
def test_topics(recorder: ApplicationRecorder, topic: str) -> None:
    event = an_event(topic=topic)
    assert_round_trip(recorder, event, an_event(originator_id=uuid4()))
    (found,) = recorder.select_notifications(None, 10, topics=[topic])
    assert stored(found) == event
    with recorder.subscribe(topics=[topic]) as subscription:
        assert stored(next(subscription)) == event


def test_topics_that_collations_confuse(recorder: ApplicationRecorder) -> None:
    topics = ["topic", "Topic", "topic ", "töpic", "to\u0308pic"]
    recorder.insert_events(
        [an_event(originator_id=uuid4(), topic=topic) for topic in topics]
    )
    for topic in topics:
        (found,) = recorder.select_notifications(None, 10, topics=[topic])
        assert found.topic == topic


@pytest.mark.parametrize(
    "originator_id",
    ["🐈" * 255, "é" * 255, "x" * 255, "", " ", 'it\'s %s :x "quoted" \\', "a\nb\tc"],
    ids=["emoji", "accents", "long", "empty", "space", "quoted", "control"],
)
def test_text_ids(text_recorder: ApplicationRecorder, originator_id: str) -> None:
    assert_round_trip(text_recorder, an_event(originator_id=originator_id))


@pytest.mark.parametrize(
    "originator_ids",
    [
        ["order", "Order", "ORDER"],
        ["order", "order ", " order", "order  "],
        ["strasse", "straße"],
        ["\u00e9", "e\u0301", "e"],
        ["🐈", "🐕", "?"],
        ["a_c", "abc", "a%", "a"],
        ["1", "01", "1.0"],
        [str(ORIGINATOR_ID), ORIGINATOR_ID.hex, str(ORIGINATOR_ID).upper()],
    ],
    ids=lambda values: ascii(values[0])[1:-1],
)
def test_text_ids_that_collations_confuse(
    text_recorder: ApplicationRecorder, originator_ids: list[str]
) -> None:
    events = [an_event(originator_id=each) for each in originator_ids]
    assert_round_trip(text_recorder, *events)


def test_text_too_long_is_refused(text_recorder: ApplicationRecorder) -> None:
    """Never cut: two long IDs could be one, then."""
    with pytest.raises(DataError):
        text_recorder.insert_events([an_event(originator_id="x" * 256)])
    with pytest.raises(DataError):
        text_recorder.insert_events([an_event(originator_id="x", topic="t" * 1025)])
    assert text_recorder.select_notifications(None, 10) == []
    assert text_recorder.insert_events([an_event(originator_id="x")]) == [1]


@pytest.mark.needs(Capability.LIMITED_PACKETS)
def test_states_too_large_are_refused_at_once(
    sql_recorder: SQLAlchemyApplicationRecorder, open_factory: OpenFactory
) -> None:
    """By the limit for a statement, of which the driver takes up to twice the state."""
    with sql_recorder.reading() as connection:
        limit = connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one()
    state = bytes(limit)
    began = monotonic()
    for recorder in sql_recorder, open_factory().aggregate_recorder("snapshots"):
        with pytest.raises(DataError, match="max_allowed_packet of the server is"):
            recorder.insert_events([an_event(), an_event(state=state)])
    assert monotonic() - began < 5
    fits = an_event(state=state[: limit // 2 - 2**15])
    assert sql_recorder.insert_events([fits]) == [1]


def test_snapshots_of_any_value(open_factory: OpenFactory) -> None:
    for originator_id_type, originator_id in ("uuid", uuid4()), ("text", "🐈 " * 127):
        factory = open_factory(ORIGINATOR_ID_TYPE=originator_id_type)
        recorder = factory.aggregate_recorder(purpose="snapshots")
        snapshot = an_event(
            originator_id=originator_id,
            originator_version=2**63 - 1,
            topic="事件:🐈",
            state=STATES["5 MB"],
        )
        recorder.insert_events([snapshot])
        assert recorder.select_events(originator_id) == [snapshot]


def test_purposes_do_not_mix(open_factory: OpenFactory) -> None:
    factory = open_factory()
    recorders: dict[str, AggregateRecorder] = {
        purpose: factory.aggregate_recorder(purpose=purpose)
        for purpose in ("snapshots", "Snapshots", "snapshots ", "archive")
    }
    recorders["application"] = factory.application_recorder()
    for name, recorder in recorders.items():
        recorder.insert_events([an_event(state=name.encode())])
    for name, recorder in recorders.items():
        assert recorder.select_events(ORIGINATOR_ID) == [an_event(state=name.encode())]


@pytest.mark.needs(Capability.SHARED)
def test_applications_do_not_mix(open_factory: OpenFactory) -> None:
    """Not even those whose names differ in case only."""
    names = ("Orders", "ORDERS", "orders", "Orders ", "Ordérs", "Invoices")
    recorders = {name: open_factory(name).application_recorder() for name in names}
    snapshots = {name: open_factory(name).aggregate_recorder("s") for name in names}
    for name in names:
        event = an_event(state=name.encode())
        assert recorders[name].insert_events([event]) == [1]
        snapshots[name].insert_events([event])
    for name in names:
        event = an_event(state=name.encode())
        assert recorders[name].select_events(ORIGINATOR_ID) == [event]
        assert snapshots[name].select_events(ORIGINATOR_ID) == [event]
        (notification,) = recorders[name].select_notifications(None, 10)
        assert stored(notification) == event
        assert recorders[name].max_notification_id() == 1


@pytest.mark.needs(Capability.SHARED)
def test_uuid_and_text_share_positions_but_do_not_mix(
    recorder: ApplicationRecorder, text_recorder: ApplicationRecorder
) -> None:
    """An application that changes the type of its IDs goes on counting."""
    event, last_event = an_event(), an_event(originator_version=2)
    text_event = an_event(originator_id=str(ORIGINATOR_ID))
    assert recorder.insert_events([event]) == [1]
    assert text_recorder.insert_events([text_event]) == [2]
    assert recorder.insert_events([last_event]) == [3]

    assert recorder.select_events(ORIGINATOR_ID) == [event, last_event]
    assert text_recorder.select_events(str(ORIGINATOR_ID)) == [text_event]
    for one, expected in (
        (recorder, {1: event, 3: last_event}),
        (text_recorder, {2: text_event}),
    ):
        page = one.select_notifications(None, 10)
        assert {each.id: stored(each) for each in page} == expected
        with one.subscribe() as subscription:
            assert [next(subscription).id for _ in expected] == list(expected)


def test_times_follow_positions(sql_recorder: SQLAlchemyApplicationRecorder) -> None:
    """However many events are recorded at once."""
    for count in (1, 3, 1):
        sql_recorder.insert_events(new_events(count))
    query = select(events.c.recorded_at).order_by(events.c.notification_id)
    with sql_recorder.datastore.reading() as connection:
        times = [
            # Without a zone where the database keeps none.
            time if time.tzinfo else time.replace(tzinfo=UTC)
            for time in connection.scalars(query)
        ]
    assert times == sorted(times)
    assert abs(datetime.now(UTC) - times[0]) < timedelta(minutes=1)
