"""What is stored is stored once, whatever happens to the connection meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    Notification,
    OperationalError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import (
    DeadLetters,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
)
from factories import OpenFactory
from faults.proxy import Proxy
from faults.report import inject, recovered

BREAKS = [Proxy.cut, Proxy.reset, Proxy.stall]
INSERT = re.compile(rb"INSERT INTO es_(text_)?events")
APPEND = b"UPDATE es_applications"
"""The first statement of an append; on PostgreSQL, the only one."""

MUCH = "INSERT INTO es_tracking VALUES " + ", ".join(  # noqa: S608
    f"('{number}', '', 1)" for number in range(99)
)

COMMITTED = re.compile(rb"^COMMIT|INSERT INTO es_(text_)?events.*pg_notify", re.DOTALL)
"""What has stored events, once it is answered. PostgreSQL commits with the INSERT."""

QUICK = {"SQLALCHEMY_ANSWER_TIMEOUT": "0.3", "SQLALCHEMY_LOCK_TIMEOUT": "1"}

on_servers = pytest.mark.needs(Capability.SERVER)
Faulty = Callable[[Proxy], object]


@pytest.fixture
def direct(open_factory: OpenFactory) -> SQLAlchemyApplicationRecorder:
    """Sees what is stored, past the proxy."""
    return open_factory().application_recorder()


@pytest.fixture
def factory(open_factory: OpenFactory, proxy: Proxy) -> SQLAlchemyFactory:
    """Stores through the proxy."""
    return open_factory(SQLALCHEMY_URL=proxy.url, **QUICK)


@pytest.fixture
def writer(
    direct: SQLAlchemyApplicationRecorder,  # noqa: ARG001
    factory: SQLAlchemyFactory,
) -> SQLAlchemyApplicationRecorder:
    recorder = factory.application_recorder()
    recorder.insert_events(new_events())
    return recorder


@contextmanager
def healing(fired: Event, proxy: Proxy, kind: str) -> Iterator[None]:
    """Ends the fault a moment after it was made."""

    def heal() -> None:
        assert fired.wait(20)
        proxy.heal()
        times.append(monotonic())

    times: list[float] = []
    thread = Thread(target=heal)
    thread.start()
    try:
        yield
        thread.join()
        recovered(kind, monotonic() - times[0])
    finally:
        fired.set()
        thread.join()


def stored(recorder: SQLAlchemyApplicationRecorder) -> Sequence[Notification]:
    return recorder.select_notifications(None, 100)


@on_servers
@pytest.mark.parametrize("fault", BREAKS)
def test_lost_before_the_server_hears_of_it(
    writer: SQLAlchemyApplicationRecorder,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    fault: Faulty,
) -> None:
    trigger = proxy.when_client_sends(INSERT, lambda: fault(proxy))
    with healing(trigger.fired, proxy, f"{fault.__name__} in an insert"):
        assert writer.insert_events(new_events(3)) == [2, 3, 4]
    assert ids(direct) == [1, 2, 3, 4]


@on_servers
@pytest.mark.parametrize("fault", BREAKS)
def test_lost_after_the_server_has_committed(
    writer: SQLAlchemyApplicationRecorder,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    fault: Faulty,
) -> None:
    """Neither a false conflict nor a double append."""
    trigger = proxy.after_server_answers(COMMITTED, lambda: fault(proxy))
    events = new_events(3)
    with healing(trigger.fired, proxy, f"{fault.__name__} after a commit"):
        assert writer.insert_events(events) == [2, 3, 4]
    assert ids(direct) == [1, 2, 3, 4]
    assert list(direct.select_events(events[0].originator_id)) == events


@on_servers
def test_a_conflict_is_a_conflict_also_when_the_answer_is_lost(
    writer: SQLAlchemyApplicationRecorder,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
) -> None:
    """Somebody else has stored another event of the same version meanwhile."""
    originator_id = uuid4()

    def rival() -> None:
        direct.insert_events([StoredEvent(originator_id, 1, "topic", b"theirs")])
        proxy.cut()

    proxy.when_client_sends(APPEND, rival)
    with pytest.raises(IntegrityError):
        writer.insert_events([StoredEvent(originator_id, 1, "topic", b"ours")])
    assert [each.state for each in stored(direct)] == [b"state", b"theirs"]


@on_servers
@pytest.mark.parametrize(
    ("own", "topic"),
    [("CHECK (topic <> 'refused')", "refused"), ("UNIQUE (topic)", "topic")],
)
def test_another_constraint_is_not_taken_for_a_conflict(
    writer: SQLAlchemyApplicationRecorder,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    own: str,
    topic: str,
) -> None:
    """One of the user's own, after a loss: nobody looks for events that are stored."""
    with direct.datastore.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE es_events ADD CONSTRAINT own {own}")
    proxy.when_client_sends(APPEND, proxy.cut)
    with pytest.raises(IntegrityError, match="own"):
        writer.insert_events([StoredEvent(uuid4(), 1, topic, b"state")])
    assert ids(direct) == [1]


@on_servers
def test_a_part_of_what_was_to_be_stored_is_a_conflict(
    writer: SQLAlchemyApplicationRecorder,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
) -> None:
    one, two = new_events(2)

    def rival() -> None:
        direct.insert_events([one])
        proxy.cut()

    proxy.when_client_sends(APPEND, rival)
    with pytest.raises(IntegrityError):
        writer.insert_events([one, two])
    assert ids(direct) == [1, 2]


@on_servers
@pytest.mark.parametrize("count", [0, 2])
def test_events_and_tracking(
    factory: SQLAlchemyFactory,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    count: int,
) -> None:
    recorder = factory.process_recorder()
    recorder.insert_events(new_events(), tracking=Tracking("upstream", 1))
    proxy.after_server_answers(re.compile(rb"^COMMIT"), proxy.cut)
    events = new_events(2)[:count]
    positions = recorder.insert_events(events, tracking=Tracking("upstream", 2))
    assert positions == [2, 3][:count]
    assert ids(direct) == list(range(1, 2 + count))
    assert recorder.max_tracking_id("upstream") == 2
    with pytest.raises(IntegrityError):
        recorder.insert_events(new_events(), tracking=Tracking("upstream", 2))


@dataclass(frozen=True)
class AnnotatedEvent(StoredEvent):
    """Equals no event that is read."""

    note: str = ""


@on_servers
def test_events_of_a_subclass(
    factory: SQLAlchemyFactory,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
) -> None:
    """What is stored of them is the same."""
    recorder = factory.process_recorder()
    snapshots = factory.aggregate_recorder("snapshots")
    recorder.insert_events(new_events(), tracking=Tracking("upstream", 1))
    snapshots.insert_events(new_events())
    events = [AnnotatedEvent(uuid4(), 1, "topic", b"state") for _ in range(3)]
    committed = proxy.after_server_answers(COMMITTED, proxy.cut)
    assert recorder.insert_events(events[:1]) == [2]
    assert committed.fired.is_set()
    committed = proxy.after_server_answers(re.compile(rb"^COMMIT"), proxy.cut)
    tracking = Tracking("upstream", 2)
    assert recorder.insert_events(events[1:], tracking=tracking) == [3, 4]
    assert committed.fired.is_set()
    assert ids(direct) == [1, 2, 3, 4]
    committed = proxy.after_server_answers(re.compile(rb"^COMMIT"), proxy.cut)
    snapshots.insert_events(events)
    assert committed.fired.is_set()


@on_servers
def test_tracking_alone(factory: SQLAlchemyFactory, proxy: Proxy) -> None:
    recorder = factory.tracking_recorder()
    recorder.insert_tracking(Tracking("upstream", 1))
    proxy.when_client_sends(b"UPDATE es_tracking", proxy.reset)
    recorder.insert_tracking(Tracking("upstream", 2))
    proxy.after_server_answers(re.compile(rb"^COMMIT"), proxy.reset)
    recorder.insert_tracking(Tracking("upstream", 3))
    assert recorder.max_tracking_id("upstream") == 3
    with pytest.raises(IntegrityError):
        recorder.insert_tracking(Tracking("upstream", 3))


@on_servers
def test_snapshots(factory: SQLAlchemyFactory, proxy: Proxy) -> None:
    recorder = factory.aggregate_recorder("snapshots")
    [first, second] = new_events(2)
    recorder.insert_events([first])
    proxy.after_server_answers(re.compile(rb"^COMMIT"), proxy.cut)
    recorder.insert_events([second])
    assert list(recorder.select_events(first.originator_id)) == [first, second]
    with pytest.raises(IntegrityError):
        recorder.insert_events([second])


@on_servers
def test_dead_letters(factory: SQLAlchemyFactory, proxy: Proxy) -> None:
    """What was done is not taken for somebody else's doing."""
    recorder = factory.tracking_recorder()
    letters = DeadLetters(recorder)
    committing = re.compile(rb"^COMMIT")
    recorded = proxy.after_server_answers(committing, proxy.cut)
    letters.record(Tracking("upstream", 1), "topic", ValueError(), 3)
    assert recorded.fired.is_set()
    (letter,) = letters.select()
    discarded = proxy.after_server_answers(committing, proxy.cut)
    letters.discard(letter)
    assert discarded.fired.is_set()
    assert letters.select() == []
    with pytest.raises(ProgrammingError, match="Somebody else"):
        letters.discard(letter)


@on_servers
def test_reading_is_tried_again(
    writer: SQLAlchemyApplicationRecorder, proxy: Proxy
) -> None:
    [known] = stored(writer)
    for read in (
        lambda: stored(writer) == [known],
        lambda: [each.state for each in writer.select_events(known.originator_id)],
        lambda: writer.max_notification_id() == 1,
    ):
        proxy.cut()
        assert read()


@on_servers
@pytest.mark.parametrize("is_own", [False, True])
def test_a_pooled_connection_that_says_nothing_when_it_is_tested(
    open_factory: OpenFactory,
    proxy: Proxy,
    topic_of: Callable[[object], str],
    is_own: bool,
) -> None:
    """Also by the user's own engine. Only the driver would wait for ever."""
    variables = {"SQLALCHEMY_URL": proxy.url, "SQLALCHEMY_POOL_PRE_PING": "yes"}
    own = create_engine(proxy.url, pool_pre_ping=True)
    if is_own:
        variables = {"SQLALCHEMY_ENGINE_TOPIC": topic_of(own)}
    factory = open_factory(
        SQLALCHEMY_ANSWER_TIMEOUT="0.3", SQLALCHEMY_SUBSCRIBE="poll", **variables
    )
    recorder = factory.application_recorder()
    given_up = Event()
    engine = factory.datastore.engine
    event.listen(engine, "invalidate", lambda *_: given_up.set())
    with ThreadPoolExecutor(1) as threads, ExitStack() as stack:
        stack.callback(own.dispose)
        proxy.stall()
        appending = threads.submit(recorder.insert_events, new_events())
        try:
            assert given_up.wait(10)
        finally:
            proxy.heal()
        assert appending.result(20) == [1]


@on_servers
def test_a_transaction_of_the_caller_is_not_tried_again(
    writer: SQLAlchemyApplicationRecorder,
    direct: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
) -> None:
    """It would lack what the caller did before."""
    trigger = proxy.when_client_sends(INSERT, proxy.cut)
    with pytest.raises(OperationalError), writer.transaction():
        writer.insert_events(new_events())
    assert trigger.fired.is_set()
    assert ids(direct) == [1]


@on_servers
def test_an_outage_that_does_not_end_is_an_error(
    open_factory: OpenFactory, direct: SQLAlchemyApplicationRecorder, proxy: Proxy
) -> None:
    factory = open_factory(SQLALCHEMY_URL=proxy.url, SQLALCHEMY_RETRY_TIMEOUT="0.5")
    writer = factory.application_recorder()
    proxy.refuse()
    started = monotonic()
    with pytest.raises(OperationalError):
        writer.insert_events(new_events())
    assert 0.1 < monotonic() - started < 5
    proxy.heal()
    assert ids(direct) == []


@contextmanager
def locked(backend: Backend, statement: str) -> Iterator[Connection]:
    """Another connection is in a transaction that has executed the statement."""
    engine = create_engine(backend.url)
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
            yield connection
            connection.rollback()
    finally:
        engine.dispose()


def on_error(engine: Engine, call: Callable[[], object]) -> list[Any]:
    """Calls when a statement fails for the first time; the errors until now."""
    errors: list[Any] = []

    @event.listens_for(engine, "handle_error")
    def note(context: Any) -> None:
        errors.append(context.original_exception)
        if len(errors) == 1:
            call()

    return errors


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
def test_a_lock_that_is_released_too_late_is_waited_for_again(
    open_factory: OpenFactory, backend: Backend
) -> None:
    """On SQLite: SQLITE_BUSY, beyond the timeout of the driver."""
    recorder = open_factory(SQLALCHEMY_LOCK_TIMEOUT="0.5").application_recorder()
    statement = "UPDATE es_applications SET last_notification_id = 0"
    with locked(backend, statement) as other:
        errors = on_error(recorder.datastore.engine, other.rollback)
        inject("lock timeout")
        assert recorder.insert_events(new_events()) == [1]
    assert len(errors) == 1


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
def test_a_lock_that_is_not_released_is_an_error(
    open_factory: OpenFactory, backend: Backend
) -> None:
    factory = open_factory(
        SQLALCHEMY_LOCK_TIMEOUT="0.1", SQLALCHEMY_RETRY_TIMEOUT="0.2"
    )
    recorder = factory.application_recorder()
    statement = "UPDATE es_applications SET last_notification_id = 0"
    with locked(backend, statement):
        inject("lock timeout")
        with pytest.raises(OperationalError):
            recorder.insert_events(new_events())
    assert recorder.insert_events(new_events()) == [1]


@pytest.mark.needs(Capability.ROW_LOCKS)
def test_deadlocks_are_tried_again(open_factory: OpenFactory, backend: Backend) -> None:
    """A process recorder locks its tracking first, then the row of its application.

    Somebody locks them the other way round. Which of the two has to give way is for
    the database to say, so they meet until it was ours. (MariaDB chooses the one that
    has written less.)
    """
    recorder = open_factory(SQLALCHEMY_LOCK_TIMEOUT="20").process_recorder()
    recorder.insert_events(new_events(), tracking=Tracking("upstream", 1))
    has_tracked = Event()

    @event.listens_for(recorder.datastore.engine, "after_cursor_execute")
    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "es_tracking" in statement:
            has_tracked.set()

    errors = on_error(recorder.datastore.engine, lambda: None)
    with ThreadPoolExecutor(1) as threads:
        for position in range(2, 50):
            has_tracked.clear()
            with locked(backend, "UPDATE es_applications SET name = name") as other:
                stored = threads.submit(
                    recorder.insert_events,
                    new_events(),
                    tracking=Tracking("upstream", position),
                )
                assert has_tracked.wait(10)
                other.execute(text(MUCH))
                inject("deadlock")
                with suppress(DBAPIError):
                    other.execute(text("UPDATE es_tracking SET notification_id = 1"))
                other.rollback()
                assert stored.result(30) == [position]
            if errors:
                break
    assert len(errors) == 1
