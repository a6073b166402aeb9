"""How databases find events with tags: by ranges of indexes, whatever they know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from sqlalchemy import event, text

from backends import Capability
from conversations import conversation
from eventsourcing_alchemy import SQLAlchemyDCBRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.dialects.base import Condition
from eventsourcing_alchemy.dialects.base.dcb_appending import Append
from eventsourcing_alchemy.statements.dcb_query import Query
from plans import WHOLE_TABLE, plans
from work import work

pytestmark = pytest.mark.empty
"""Tables that others have used before may be read in other ways."""

LAST = 10_000
FEW = 2_000
TAGS = "FROM es_dcb_tags"

RARE, MANY, MANY_TOO = "entity 7", "group 7", "parity 1"


def tagged(*tags: str, types: Sequence[str] = ()) -> DCBQueryItem:
    return DCBQueryItem(list(types), list(tags))


QUERIES = {
    "one tag": DCBQuery([tagged(RARE)]),
    "two tags": DCBQuery([tagged(RARE, MANY)]),
    "two tags, the rare one last": DCBQuery([tagged(MANY, RARE)]),
    "three tags": DCBQuery([tagged(MANY, MANY_TOO, RARE, types=["T1"])]),
    "two items": DCBQuery([tagged(RARE, types=["T1"]), tagged("entity 8")]),
    "mixed items": DCBQuery([tagged(RARE, MANY), tagged(types=["never"])]),
    "many tags": DCBQuery([tagged(RARE, *map(str, range(9)))]),
    "very many tags": DCBQuery([tagged(RARE, *map(str, range(99)))]),
}

LIMITED = {
    "all": DCBQuery(),
    "a type": DCBQuery([tagged(types=["T1"])]),
    "two types": DCBQuery([tagged(types=["T1", "T2"])]),
    "a frequent tag": DCBQuery([tagged(MANY)]),
    "an item of each kind": DCBQuery([tagged(MANY), tagged(types=["T1"])]),
}
"""Find more and more events as the log grows."""


def append_up_to(recorder: SQLAlchemyDCBRecorder, last: int) -> None:
    for start in range(recorder.head() or 0, last, 1000):
        recorder.append(
            [
                DCBEvent(
                    f"T{n % 3}",
                    b"x" * 50,
                    [f"entity {n // 20}", f"group {n % 9}", f"parity {n % 2}"],
                )
                for n in range(start, start + 1000)
            ]
        )


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyDCBRecorder:
    recorder = factory.dcb_recorder()
    append_up_to(recorder, LAST)
    return recorder


def first_two(recorder: SQLAlchemyDCBRecorder, query: DCBQuery, after: int) -> None:
    """By a subscription, whose pages are those of a runner, too."""
    with recorder.subscribe(query, after=after) as subscription:
        subscription.look(0)
        subscription.look(0)


def work_of(recorder: SQLAlchemyDCBRecorder) -> dict[str, int]:
    """What each way to use each query takes the database to do."""
    engine, found = recorder.datastore.engine, {}
    for name, query in QUERIES.items():
        last = recorder.head() or 0
        condition = Condition(Query.of(query), 400)
        with work(engine) as reading:
            list(recorder.read(query))
        with work(engine) as following:
            first_two(recorder, query, last - 500)
        with recorder.transaction(), work(engine) as checking:
            dialect = recorder.datastore.dialect
            with recorder.datastore.writing() as executor:
                dialect._found(executor, recorder.name, condition, last, [])
        found[f"{name}, read"] = reading.done
        found[f"{name}, followed"] = following.done
        found[f"{name}, as a condition"] = checking.done
    for name, query in LIMITED.items():
        with work(engine) as reading:
            list(recorder.read(query, after=500, limit=20))
        found[f"{name}, read"] = reading.done
    return found


def test_work_does_not_grow_with_the_log(factory: SQLAlchemyFactory) -> None:
    """Whatever the database knows of it: statistics there are none on PostgreSQL."""
    recorder = factory.dcb_recorder()
    append_up_to(recorder, FEW)
    before = work_of(recorder)
    append_up_to(recorder, LAST)
    after = work_of(recorder)
    grown = {
        name: (done, after[name])
        for name, done in before.items()
        if after[name] > 3 * done + 10
    }
    assert all(before.values())
    assert not grown


def assert_reads_ranges(recorder: SQLAlchemyDCBRecorder) -> None:
    engine = recorder.datastore.engine
    for name, query in QUERIES.items():
        condition = DCBAppendCondition(query, after=LAST)
        with plans(engine, TAGS) as seen:
            list(recorder.read(query))
            list(recorder.read(query, after=LAST // 2, limit=10))
            first_two(recorder, query, LAST // 2)
            recorder.append([DCBEvent("other", b"")])
            recorder.append([DCBEvent("other", b"")], condition)
        assert seen, name
        for plan in seen:
            assert not WHOLE_TABLE.search(plan), (name, plan)


def test_reads_ranges_of_indexes(recorder: SQLAlchemyDCBRecorder) -> None:
    assert_reads_ranges(recorder)


@pytest.fixture(params=["custom", "generic"])
def planned(request: pytest.FixtureRequest, factory: SQLAlchemyFactory) -> str:
    """How prepared statements are planned: with or without their parameters."""
    engine = factory.dcb_recorder().datastore.engine

    def plan(connection: Any, *_: Any) -> None:
        connection.execute(f"SET plan_cache_mode = force_{request.param}_plan")
        connection.prepare_threshold = 0
        connection.commit()

    event.listen(engine, "connect", plan)
    with engine.begin() as connection:
        for table in ("es_dcb_events", "es_dcb_tags"):
            off = f"ALTER TABLE {table} SET (autovacuum_enabled = no)"
            connection.execute(text(off))
    engine.dispose()
    how: str = request.param
    return how


@pytest.mark.needs(Capability.PREPARED_PLANS)
@pytest.mark.parametrize("has_statistics", [False, True])
def test_with_and_without_statistics(
    planned: str,
    recorder: SQLAlchemyDCBRecorder,
    has_statistics: bool,
) -> None:
    assert planned
    if has_statistics:
        with recorder.transaction() as connection:
            connection.execute(text("ANALYZE es_dcb_events, es_dcb_tags"))
    assert_reads_ranges(recorder)


@pytest.mark.needs(Capability.NOTIFY)
def test_a_conditional_append_is_one_statement(factory: SQLAlchemyFactory) -> None:
    """Which checks, locks, counts, inserts and notifies."""
    recorder = factory.dcb_recorder()
    recorder.append([DCBEvent("T", b"", ["a"])])
    condition = DCBAppendCondition(QUERIES["two items"], after=0)
    with conversation(recorder.datastore.engine) as said:
        recorder.append([DCBEvent("T", b"", ["b"])], condition)
    assert len([each for each in said if each != "COMMIT"]) == 1


@pytest.mark.needs(Capability.NOTIFY, Capability.PREPARED_PLANS)
def test_a_group_is_planned_once(factory: SQLAlchemyFactory) -> None:
    """A plan of its own for each group takes longer than the statement."""
    recorder = factory.dcb_recorder()
    after = recorder.append([DCBEvent("T", b"", ["a"])])
    prepared = text(
        "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH %'"
    )
    for n in range(30):
        group = [
            Append(
                uuid4(),
                [DCBEvent("T", b"", [f"{tag} {n}", "a"])],
                Condition(Query.of(DCBQuery([tagged(f"{tag} {n}")])), after),
            )
            for tag in ("b", "c", "d")
        ]
        assert all(isinstance(each, int) for each in recorder._append_all(group))
    with recorder.datastore.reading() as connection:
        assert max(connection.scalars(prepared)) >= 20
