"""Following an application: complete, in order, prompt, bounded, and stoppable."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from threading import Event, Thread
from threading import enumerate as threads_alive
from time import monotonic
from uuid import uuid4

import pytest
from eventsourcing.persistence import (
    InterfaceError,
    Notification,
    NotSupportedError,
    PersistenceError,
    ProgrammingError,
    StoredEvent,
)
from sqlalchemy import delete, func, select, text

from backends import Backend, Capability
from behaviour.workers import DeliberateError, append, new_events
from conversations import conversation
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    metadata,
)
from eventsourcing_alchemy.errors import TransientError
from eventsourcing_alchemy.statements.events import LARGE_STATE
from eventsourcing_alchemy.subscriptions import following as module
from eventsourcing_alchemy.subscriptions import notification_reader as notifications
from eventsourcing_alchemy.subscriptions.following import PAGE
from eventsourcing_alchemy.subscriptions.subscription import SQLAlchemySubscription
from eventsourcing_alchemy.subscriptions.topics import MOST_IN_SQL
from factories import OpenFactory
from processes import barrier, in_processes


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


def take(subscription: SQLAlchemySubscription, count: int) -> list[int]:
    return [next(subscription).id for _ in range(count)]


def events_about(*topics: str) -> list[StoredEvent]:
    return [StoredEvent(uuid4(), 1, topic, b"") for topic in topics]


def test_what_was_recorded_then_what_comes(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    recorder.insert_events(new_events(PAGE + 2))
    with recorder.subscribe() as subscription:
        assert take(subscription, PAGE + 2) == list(range(1, PAGE + 3))
        for position in range(PAGE + 3, PAGE + 6):
            recorder.insert_events(new_events())
            assert take(subscription, 1) == [position]


def test_starts_after_a_position(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(new_events(5))
    with recorder.subscribe(gt=3) as subscription:
        assert take(subscription, 2) == [4, 5]


def test_wakes_up_for_a_commit_in_this_process(
    open_factory: OpenFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, by a hint: the next look would come too late."""
    monkeypatch.setattr(module, "SHORTEST_POLL", 5)
    variables = {"SQLALCHEMY_POLL_INTERVAL": "5", "SQLALCHEMY_SUBSCRIBE": "poll"}
    recorder = open_factory(**variables).application_recorder()
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        for position in range(1, 21):
            following = threads.submit(next, subscription)
            recorder.insert_events(new_events())
            committed = monotonic()
            assert following.result(timeout=10).id == position
            assert monotonic() - committed < 1


@pytest.mark.parametrize("count", [MOST_IN_SQL, MOST_IN_SQL + 1, 70_000])
def test_any_number_of_topics(
    recorder: SQLAlchemyApplicationRecorder, count: int
) -> None:
    topics = [f"t{number}" for number in range(count)]
    recorder.insert_events(events_about(*["other"] * 700, "t0", "other", "t1"))
    assert positions(recorder.select_notifications(1, 1, topics=topics)) == [701]
    assert positions(recorder.select_notifications(1, 9, topics=topics)) == [701, 703]
    assert recorder.select_notifications(1, 9, stop=700, topics=topics) == []
    with recorder.subscribe(topics=topics) as subscription:
        assert take(subscription, 2) == [701, 703]
        recorder.insert_events(events_about("other", "t2"))
        assert take(subscription, 1) == [705]


def positions(notifications: Sequence[Notification]) -> list[int]:
    return [each.id for each in notifications]


@pytest.mark.needs(Capability.SHARED)
def test_wakes_up_for_a_commit_of_another_process(
    recorder: SQLAlchemyApplicationRecorder, env: dict[str, str]
) -> None:
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        following = threads.submit(take, subscription, 3)
        assert in_processes([partial(append, env, barrier(1), [3])]) == [[1, 2, 3]]
        committed = monotonic()
        assert following.result(timeout=10) == [1, 2, 3]
        assert monotonic() - committed < 1


@pytest.mark.parametrize("poll_interval", ["0.05", "60"])
def test_stop_wakes_a_blocked_iterator(
    open_factory: OpenFactory, poll_interval: str
) -> None:
    factory = open_factory(SQLALCHEMY_POLL_INTERVAL=poll_interval)
    with (
        factory.application_recorder().subscribe() as subscription,
        ThreadPoolExecutor(1) as threads,
    ):
        following = threads.submit(list, subscription)
        with pytest.raises(TimeoutError):
            following.result(timeout=0.1)
        stopped = monotonic()
        subscription.stop()
        assert following.result(timeout=5) == []
        assert monotonic() - stopped < 0.1


def test_stop_also_ends_what_has_been_read_ahead(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    recorder.insert_events(new_events(3))
    with recorder.subscribe() as subscription:
        assert take(subscription, 1) == [1]
        subscription.stop()
        assert list(subscription) == []


def test_topics_are_filtered_in_the_database(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    recorder.insert_events(events_about("a", "b", "c", "a"))
    with (
        conversation(recorder.datastore.engine) as seen,
        recorder.subscribe(topics=["a", "c"]) as subscription,
    ):
        assert take(subscription, 3) == [1, 3, 4]
    assert any(" IN (" in statement for statement in seen)


def test_position_moves_past_what_was_filtered(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Nothing is looked at twice, so a rare topic costs one pass in few pages."""
    for _ in range(20):
        recorder.insert_events(events_about(*["common"] * PAGE))
    recorder.insert_events(events_about("rare"))
    last = 20 * PAGE + 1
    with recorder.subscribe(topics=["rare"]) as subscription:
        with conversation(recorder.datastore.engine) as seen:
            assert take(subscription, 1) == [last]
        assert len(seen) < 20
        recorder.insert_events(events_about("common", "rare"))
        with conversation(recorder.datastore.engine) as seen:
            assert take(subscription, 1) == [last + 2]
        assert len(seen) <= 3


def test_windows_without_events_are_left_behind(
    recorder: SQLAlchemyApplicationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "WIDEST_WINDOW", 10)
    recorder.insert_events(events_about(*["common"] * 100, "rare", "common"))
    scan = notifications.Scan(recorder.reader, 0, ["rare"])
    for _ in range(30):
        found = scan.page(10)
        if found or scan.is_at_end():
            break
    assert [notification.id for notification in found] == [101]


def test_what_is_filtered_costs_two_statements(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """The last position, and the events above the one that was reached."""
    with recorder.subscribe(topics=["rare"]) as subscription:
        assert subscription.look(0) is None
        for last in (1, 2, 3):
            recorder.insert_events(events_about("common"))
            with conversation(recorder.datastore.engine) as seen:
                assert subscription.look(10) is None
            assert (len(seen), subscription.position) == (2, last)


def test_nothing_is_read_while_nothing_happens(
    open_factory: OpenFactory,
) -> None:
    recorder = open_factory(SQLALCHEMY_POLL_INTERVAL="60").application_recorder()
    recorder.insert_events(new_events())
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        take(subscription, 1)
        with conversation(recorder.datastore.engine) as seen:
            following = threads.submit(list, subscription)
            with pytest.raises(TimeoutError):
                following.result(timeout=0.5)
        subscription.stop()
    assert len(seen) < 25


def test_gaps_of_imported_events(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(new_events(3 * PAGE))
    events = metadata.tables["es_events"]
    positions = events.c.notification_id
    with recorder.transaction() as connection:
        connection.execute(delete(events).where(positions.between(2, 3 * PAGE - 1)))
    assert [n.id for n in recorder.select_notifications(1, 10)] == [1, 3 * PAGE]
    with recorder.subscribe() as subscription:
        assert take(subscription, 2) == [1, 3 * PAGE]
        recorder.insert_events(new_events())
        assert take(subscription, 1) == [3 * PAGE + 1]


def test_large_states_are_read_one_by_one(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    states = [b"", b"x" * (LARGE_STATE - 1), b"y" * LARGE_STATE, b"z" * 3_000_000]
    recorder.insert_events(
        [StoredEvent(uuid4(), 1, "topic", state) for state in states]
    )
    with (
        recorder.subscribe() as subscription,
        conversation(recorder.datastore.engine) as seen,
    ):
        assert [next(subscription).state for _ in states] == states
    assert len(seen) == 3
    assert [n.state for n in recorder.select_notifications(1, 10)] == states


def test_large_event_that_is_deleted_when_its_page_was_read(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """It leaves a gap, as others do, unless the server is only behind."""
    state = b"x" * LARGE_STATE
    given = [StoredEvent(uuid4(), 1, "topic", state) for _ in range(4)]
    recorder.insert_events(given)
    table = metadata.tables["es_events"]
    with recorder.subscribe() as subscription:
        assert take(subscription, 1) == [1]
        with recorder.transaction() as connection:
            for event in given[1], given[3]:
                of_event = table.c.originator_id == event.originator_id
                connection.execute(delete(table).where(of_event))
        assert subscription.look() is None
        assert subscription.position == 2
        assert take(subscription, 1) == [3]
        recorder.insert_events([StoredEvent(uuid4(), 1, "topic", state)])
        assert take(subscription, 1) == [5]
    with pytest.raises(TransientError, match="is not on this server yet"):
        recorder.reader.state(6)


def test_second_thread_is_refused(
    recorder: SQLAlchemyApplicationRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events would come twice. The first thread goes on."""
    waiting = Event()

    def wait(seconds: float) -> str | None:
        waiting.set()
        return until_woken(seconds)

    recorder.insert_events(new_events())
    with ThreadPoolExecutor(1) as threads, recorder.subscribe() as subscription:
        until_woken = subscription._waiter.wait
        monkeypatch.setattr(subscription._waiter, "wait", wait)
        following = threads.submit(take, subscription, 2)
        assert waiting.wait(10)
        with pytest.raises(ProgrammingError, match="Another thread is iterating"):
            subscription.look(0)
        recorder.insert_events(new_events(2))
        assert following.result(10) == [1, 2]
        assert take(subscription, 1) == [3]


def test_errors_surface_in_the_thread_that_iterates(
    factory: SQLAlchemyFactory, recorder: SQLAlchemyApplicationRecorder
) -> None:
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        following = threads.submit(next, subscription)
        factory.close()
        subscription._waiter.wake()
        assert isinstance(following.exception(timeout=10), InterfaceError)


def test_error_does_not_end_the_subscription(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    recorder.insert_events(new_events())
    with recorder.subscribe() as subscription:
        take(subscription, 1)
        table = recorder.reader._table
        subscription._reader._table = table.to_metadata(
            type(metadata)(), name="es_no_such_table"
        )
        recorder.insert_events(new_events())
        with pytest.raises(PersistenceError, match="es_no_such_table"):
            next(subscription)
        subscription._reader._table = table
        assert take(subscription, 1) == [2]


def test_position_beyond_the_end(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(new_events(2))
    message = r"gt is 3, but the last position of application 'Application' is 2"
    with pytest.raises(ProgrammingError, match=message):
        recorder.subscribe(gt=3)
    assert recorder.select_notifications(3, 10) == []


def test_negative_position(recorder: SQLAlchemyApplicationRecorder) -> None:
    with pytest.raises(ProgrammingError, match="gt is -1: expected 0 or more"):
        recorder.subscribe(gt=-1)


def test_topics_that_are_a_text(recorder: SQLAlchemyApplicationRecorder) -> None:
    with pytest.raises(ProgrammingError, match="expected a sequence of topics"):
        recorder.subscribe(topics="topic")


def test_topics_of_a_generator(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(events_about("a", "b"))
    topics = (topic for topic in "a")
    with recorder.subscribe(topics=topics) as subscription:  # type: ignore[arg-type]
        assert take(subscription, 1) == [1]
        recorder.insert_events(events_about("b", "a"))
        assert take(subscription, 1) == [4]


@pytest.mark.needs(Capability.MVCC)
def test_sees_what_is_recorded_within_a_reading_block(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Which itself may see the same all the time."""
    with recorder.datastore.reading(), recorder.subscribe() as subscription:
        assert recorder.select_notifications(None, 10) == []
        with ThreadPoolExecutor(1) as threads:
            threads.submit(recorder.insert_events, new_events()).result()
        assert take(subscription, 1) == [1]


@pytest.mark.needs(Capability.MVCC)
def test_does_not_see_what_may_be_rolled_back(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.subscribe() as subscription:
        with suppress(DeliberateError), recorder.transaction():
            recorder.insert_events(new_events(2))
            assert subscription.look(0) is None
            raise DeliberateError
        recorder.insert_events(new_events(3))
        assert take(subscription, 3) == [1, 2, 3]


def test_in_memory_is_not_iterated_over_inside_a_transaction() -> None:
    """What it would see may be rolled back."""
    with (
        closing(SQLAlchemyFactory({"SQLALCHEMY_URL": "sqlite://"})) as factory,
        (recorder := factory.application_recorder()).subscribe() as subscription,
    ):
        with suppress(DeliberateError), recorder.transaction():
            recorder.insert_events(new_events(2))
            with pytest.raises(ProgrammingError, match="leave the block before"):
                subscription.look(0)
            raise DeliberateError
        recorder.insert_events(new_events())
        assert take(subscription, 1) == [1]


def test_is_entered_once(recorder: SQLAlchemyApplicationRecorder) -> None:
    with (
        recorder.subscribe() as subscription,
        pytest.raises(ProgrammingError, match="Already entered"),
    ):
        subscription.__enter__()


def test_what_is_never_entered_is_collected(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """The fixtures see that no thread, connection or file is left."""
    recorder.insert_events(new_events())
    subscription = recorder.subscribe()
    assert take(subscription, 1) == [1]


def listeners() -> list[Thread]:
    return [thread for thread in threads_alive() if thread.name.startswith("LISTEN")]


@pytest.mark.needs(Capability.NOTIFY)
def test_a_process_listens_on_one_connection(open_factory: OpenFactory) -> None:
    one, two = (open_factory(name).application_recorder() for name in ("One", "Two"))
    with one.subscribe(), one.subscribe(), two.subscribe():
        assert len(listeners()) == 1
    assert listeners() == []


@pytest.mark.needs(Capability.NOTIFY)
def test_listening_is_announced_by_the_database(
    open_factory: OpenFactory, env: dict[str, str]
) -> None:
    """With a timer that would come too late."""
    recorder = open_factory(SQLALCHEMY_POLL_INTERVAL="60").application_recorder()
    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        following = threads.submit(take, subscription, 1)
        in_processes([partial(append, env, barrier(1), [1])])
        assert following.result(timeout=10) == [1]


@pytest.mark.needs(Capability.NOTIFY)
def test_listening_elsewhere(open_factory: OpenFactory, backend: Backend) -> None:
    factory = open_factory(SQLALCHEMY_LISTEN_URL=backend.url)
    with factory.application_recorder().subscribe():
        assert len(listeners()) == 1


@pytest.mark.needs(Capability.NOTIFY)
def test_listens_again_after_losing_the_connection(
    open_factory: OpenFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """As after `idle_session_timeout`, which is no outage."""
    listening = text(
        "SELECT pid FROM pg_stat_activity "
        "WHERE query LIKE 'LISTEN%' AND datname = current_database()"
    )
    recorder = open_factory(SQLALCHEMY_POLL_INTERVAL="0.1").application_recorder()
    with recorder.subscribe() as subscription:
        with recorder.transaction() as connection:
            lost = connection.scalars(listening).one()
            connection.execute(select(func.pg_terminate_backend(lost)))
        found = [lost]
        deadline = monotonic() + 10
        while not set(found) - {lost}:
            assert monotonic() < deadline
            recorder.insert_events(new_events())
            take(subscription, 1)
            with recorder.datastore.reading() as connection:
                found = list(connection.scalars(listening))
    assert not [r for r in caplog.records if r.name.startswith("eventsourcing")]


@pytest.mark.needs(Capability.NOTIFY)
def test_cannot_listen_elsewhere(
    open_factory: OpenFactory, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = "postgresql://postgres:sesame@127.0.0.1:1/nowhere"
    polling = open_factory(SQLALCHEMY_LISTEN_URL=nowhere).application_recorder()
    polling.insert_events(new_events())
    with polling.subscribe() as subscription:
        assert take(subscription, 1) == [1]
    assert "Cannot LISTEN; polling instead" in caplog.text
    insisting = open_factory(
        SQLALCHEMY_LISTEN_URL=nowhere,
        SQLALCHEMY_SUBSCRIBE="notify",
        SQLALCHEMY_RETRY_TIMEOUT="0.5",
    ).application_recorder()
    with pytest.raises(PersistenceError) as failure:
        insisting.subscribe()
    assert "sesame" not in caplog.text + str(failure.value)


def test_polls_where_it_is_told_to(open_factory: OpenFactory) -> None:
    recorder = open_factory(SQLALCHEMY_SUBSCRIBE="poll").application_recorder()
    with recorder.subscribe() as subscription:
        assert listeners() == []
        recorder.insert_events(new_events())
        assert take(subscription, 1) == [1]


@pytest.mark.parametrize("url", ["sqlite://"])
def test_cannot_be_notified_by_sqlite(url: str) -> None:
    env = {"SQLALCHEMY_URL": url, "SQLALCHEMY_SUBSCRIBE": "notify"}
    factory = SQLAlchemyFactory(env)
    recorder = factory.application_recorder()
    with pytest.raises(NotSupportedError, match="SQLALCHEMY_SUBSCRIBE"):
        recorder.subscribe()
    factory.close()
