"""How databases read: by ranges of indexes, whatever they know of the data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent
from sqlalchemy import event, text

from backends import Backend, Capability
from behaviour.workers import new_events
from conversations import conversation
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.operations import events
from plans import AGGREGATES, POSITIONS, WASTE, plans

pytestmark = pytest.mark.empty

PAGE = 500
AGGREGATE = 100
LAST = 20_000
TOPICS = ["topic0", "topic1", "topic2"]


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    recorder = factory.application_recorder()
    for _ in range(LAST // AGGREGATE // 10):
        recorder.insert_events(
            [
                StoredEvent(aggregate, version, TOPICS[version % 3], b"x" * 100)
                for aggregate in [uuid4() for _ in range(10)]
                for version in range(AGGREGATE)
            ]
        )
    return recorder


def assert_plans(seen: Sequence[str], expected: str) -> None:
    assert seen
    for plan in seen:
        assert expected in plan, plan
        assert not [worse for worse in WASTE if worse in plan], plan


def assert_reads_ranges(recorder: SQLAlchemyApplicationRecorder) -> None:
    engine = recorder.datastore.engine
    aggregate = recorder.select_notifications(LAST // 2, 1)[0].originator_id
    with plans(engine) as seen:
        for start in (None, LAST // 2, LAST - 10):
            recorder.select_notifications(start, PAGE)
            recorder.select_notifications(start, PAGE, topics=TOPICS[:2])
        with recorder.subscribe(gt=LAST // 2) as subscription:
            next(subscription)
    assert_plans(seen, POSITIONS[engine.dialect.name])
    with plans(engine) as seen:
        assert len(recorder.select_events(aggregate)) == AGGREGATE
        assert len(recorder.select_events(aggregate, gt=5, lte=10)) == 5
        assert len(recorder.select_events(aggregate, desc=True, limit=1)) == 1
    assert_plans(seen, AGGREGATES[engine.dialect.name])


def test_reads_ranges_of_indexes(recorder: SQLAlchemyApplicationRecorder) -> None:
    assert_reads_ranges(recorder)


def test_what_is_shown_is_read_by_ranges(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    store, name = recorder.datastore, recorder.name
    aggregate = recorder.select_notifications(LAST // 2, 1)[0].originator_id
    with plans(store.engine, "length(es_events") as seen:
        assert len(events.newest(store, name).events) == 50
        assert len(events.newest(store, name, before=LAST // 2).events) == 50
        assert len(events.following(store, name, after=LAST // 2).events) == 50
        assert events.event_at(store, name, LAST // 2).position == LAST // 2
    for plan in seen:
        assert not [worse for worse in WASTE if worse in plan], plan
    assert len(seen) == 4
    with plans(store.engine, "length(es_events") as seen:
        history = events.aggregate_history(store, name, str(aggregate), after=LAST // 4)
        assert len(history.events) == AGGREGATE
    assert_plans(
        [each.replace(" Backward", "") for each in seen],
        AGGREGATES[store.engine.dialect.name],
    )


@pytest.fixture(params=["custom", "generic"])
def without_statistics(
    request: pytest.FixtureRequest, factory: SQLAlchemyFactory
) -> Iterator[None]:
    """Prepared statements, planned with or without their parameters."""
    engine = factory.application_recorder().datastore.engine

    def plan(connection: Any, *_: Any) -> None:
        connection.execute(f"SET plan_cache_mode = force_{request.param}_plan")
        connection.prepare_threshold = 0
        connection.commit()

    event.listen(engine, "connect", plan)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE es_events SET (autovacuum_enabled = no)"))
    engine.dispose()
    yield
    with engine.connect() as connection:
        known = text("SELECT count(*) FROM pg_stats WHERE tablename = 'es_events'")
        assert connection.scalar(known) == 0


@pytest.mark.needs(Capability.PREPARED_PLANS)
def test_without_statistics(
    without_statistics: None,  # noqa: ARG001
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    assert_reads_ranges(recorder)


@pytest.mark.needs(Capability.PREPARED_PLANS)
def test_with_statistics(recorder: SQLAlchemyApplicationRecorder) -> None:
    """A bitmap of the page is as good as its range: neither reads anything else."""
    with recorder.transaction() as connection:
        connection.execute(text("ANALYZE es_events"))
    with plans(recorder.datastore.engine) as seen:
        recorder.select_notifications(LAST // 2, PAGE)
    assert seen
    for plan in seen:
        assert "on pk_es_events" in plan or "using pk_es_events" in plan, plan
        assert "Seq Scan" not in plan, plan


@pytest.mark.parametrize("count", [1, 100])
def test_an_append_takes_few_round_trips(
    factory: SQLAlchemyFactory, backend: Backend, count: int
) -> None:
    """After the first one: UPDATE, INSERT and COMMIT, and a file's BEGIN, at most.

    And a SELECT where the UPDATE does not tell what it has counted.
    """
    most = 3 if Capability.COUNTING_UPDATE in backend.capabilities else 4
    recorder = factory.application_recorder()
    recorder.insert_events(new_events())
    with conversation(recorder.datastore.engine) as said:
        recorder.insert_events(new_events(count))
    assert len([each for each in said if not each.startswith("BEGIN")]) <= most


@pytest.mark.needs(Capability.NOTIFY)
@pytest.mark.parametrize("count", [1, 100])
def test_an_append_is_one_statement(factory: SQLAlchemyFactory, count: int) -> None:
    """Which locks, counts, inserts, notifies, and is a transaction of its own."""
    recorder = factory.application_recorder()
    with conversation(recorder.datastore.engine) as said:
        recorder.insert_events(new_events(count))
    assert len([each for each in said if each != "COMMIT"]) == 1
    with recorder.datastore.statement() as executor:
        assert executor.driver_connection.autocommit
