"""Costs that do not grow with the log, or with the number of projections."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.projection import Projection
from sqlalchemy import Engine, NullPool, create_engine, text

from backends import Backend, Capability
from conversations import conversation
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    SQLAlchemyProjectionRunner,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.subscriptions.following import PAGE

MANY = 20_000
RARE = "rare"
MEGABYTE = 1_000_000

RUNNERS = 10
# No overflow: it is closed when it returns, which the server may notice after the next.
POOL = {"SQLALCHEMY_POOL_SIZE": "3", "SQLALCHEMY_MAX_OVERFLOW": "0"}
MOST = 3

SESSIONS = text("""
    SELECT query FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend'
""")


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


def append(recorder: SQLAlchemyApplicationRecorder, count: int) -> None:
    """Events, the last of which has the rare topic."""
    for first in range(0, count, 1_000):
        batch = [StoredEvent(uuid4(), 1, "usual", b"x" * 100) for _ in range(1_000)]
        if first + len(batch) == count:
            batch[-1] = StoredEvent(uuid4(), 1, RARE, b"")
        recorder.insert_events(batch)


def test_a_page_is_one_statement_however_long_the_log(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    for count in (1_000, MANY):
        append(recorder, count)
        for start in (1, count // 2, count - PAGE):
            with conversation(recorder.datastore.engine) as seen:
                assert len(recorder.select_notifications(start, PAGE)) == PAGE
            assert len(seen) == 1


def test_a_rare_topic_is_found_in_wide_windows(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """A statement for each 500 positions would be 40 of them."""
    append(recorder, MANY)
    with recorder.subscribe(topics=[RARE]) as subscription:
        with conversation(recorder.datastore.engine) as seen:
            assert next(subscription).id == MANY
        assert len(seen) < 20


def test_a_rare_topic_is_found_after_many_others(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with recorder.subscribe(topics=[RARE]) as subscription:
        assert subscription.look() is None
        append(recorder, MANY)
        with conversation(recorder.datastore.engine) as seen:
            assert next(subscription).id == MANY
        assert len(seen) < 20


@contextmanager
def peak() -> Iterator[list[int]]:
    """The bytes that are allocated within the block, at the most."""
    found: list[int] = []
    tracemalloc.start()
    yield found
    found.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()


def follow(recorder: SQLAlchemyApplicationRecorder, last: int) -> int:
    """Bytes."""
    with peak() as found, recorder.subscribe() as subscription:
        for notification in subscription:
            if notification.id == last:
                break
    return found[0]


def test_a_subscription_keeps_a_page(recorder: SQLAlchemyApplicationRecorder) -> None:
    """All events would be above 10 MB."""
    append(recorder, MANY)
    assert follow(recorder, MANY) < 4 * MEGABYTE


def test_a_subscription_keeps_few_large_states(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    count = 40
    for _ in range(count):
        recorder.insert_events([StoredEvent(uuid4(), 1, "large", b"x" * MEGABYTE)])
    assert follow(recorder, count) < 10 * MEGABYTE


class Parcels(Application[UUID]):
    pass


class Counting(Projection[SQLAlchemyTrackingRecorder]):
    def process_event(self, _: object, tracking: Tracking) -> None:
        self.view.insert_tracking(tracking)


@contextmanager
def sampled(engine: Engine) -> Iterator[list[Sequence[str]]]:
    """What the sessions of the server did last, again and again."""
    samples: list[Sequence[str]] = []
    is_over = Event()

    def sample() -> None:
        with engine.connect() as connection:
            while not is_over.wait(0.01):
                samples.append(connection.scalars(SESSIONS).all())
                connection.rollback()

    thread = Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        is_over.set()
        thread.join()


@pytest.mark.needs(Capability.NOTIFY)
def test_runners_share_a_listener_and_a_pool(
    backend: Backend, env: dict[str, str]
) -> None:
    env = {**env, **POOL}
    engine = create_engine(backend.url, poolclass=NullPool)
    with ExitStack() as stack:
        parcels = Parcels(env)
        stack.callback(parcels.close)
        samples = stack.enter_context(sampled(engine))
        runners = [
            stack.enter_context(
                SQLAlchemyProjectionRunner(
                    application_class=Parcels,
                    projection_class=type(
                        f"Counting{number}", (Counting,), {"name": f"counting{number}"}
                    ),
                    view_class=SQLAlchemyTrackingRecorder,
                    env=env,
                )
            )
            for number in range(RUNNERS)
        ]
        for _ in range(20):
            [recording] = parcels.save(Aggregate())
            for runner in runners:
                runner.wait(recording.notification.id, timeout=10)
    listening = [
        len([query for query in sample if query.startswith("LISTEN")])
        for sample in samples
    ]
    assert max(listening) == 1
    assert max(map(len, samples)) <= MOST + 1
