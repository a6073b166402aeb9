"""Events that are processed by one statement each."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, Event
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    OperationalError,
    PersistenceError,
    Tracking,
)
from sqlalchemy import (
    Column,
    Connection,
    Executable,
    Integer,
    MetaData,
    String,
    Table,
    Uuid,
    event,
    func,
    insert,
    select,
    text,
    update,
)

from backends import Capability
from behaviour.workers import DeliberateError
from conversations import conversation
from eventsourcing_alchemy import (
    SQLAlchemyFactory,
    SQLAlchemyMaterialisedView,
    upsert,
)
from eventsourcing_alchemy.recorders import tracking
from factories import OpenFactory


class Sums(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    sums = Table(
        "sums",
        metadata,
        Column("name", String(50), primary_key=True),
        Column("total", Integer, nullable=False),
        Column("last", String(50)),
        Column("id", Uuid),
    )

    def adding(self, name: str, number: int) -> Executable:
        columns = self.sums.c
        return upsert(
            self.sums,
            {"name": name, "total": number},
            set_={"total": columns.total + number, "last": "é: %(x)s"},
        )

    def add(self, position: int, number: int = 1, name: str = "a") -> None:
        self.process(Tracking("upstream", position), self.adding(name, number))

    def rows(self) -> dict[str, int]:
        with self.reading() as connection:
            rows = connection.execute(select(self.sums.c.name, self.sums.c.total))
            return {row.name: row.total for row in rows}


@pytest.fixture
def view(factory: SQLAlchemyFactory) -> Sums:
    return factory.tracking_recorder(Sums)


def test_each_event_counts_once(view: Sums) -> None:
    for position in (1, 2, 5):
        view.add(position, 10)
        with pytest.raises(IntegrityError, match=f"processed position {position}"):
            view.add(position, 10)
    assert view.rows() == {"a": 30}
    assert view.max_tracking_id("upstream") == 5


@pytest.mark.parametrize("position", [1, 2])
def test_what_a_constraint_refuses_is_not_tracked(view: Sums, position: int) -> None:
    for each in range(1, position):
        view.add(each)
    before = view.rows()
    nothing = upsert(view.sums, {"name": "b", "total": None})
    with pytest.raises(IntegrityError, match=r"(?i)null"):
        view.process(Tracking("upstream", position), nothing)
    assert view.rows() == before
    view.add(position, 5, "b")
    assert view.rows() == {**before, "b": 5}


def test_takes_part_in_a_transaction(view: Sums) -> None:
    view.add(1)
    with suppress(DeliberateError), view.transaction():
        view.add(2)
        assert (view.rows(), view.max_tracking_id("upstream")) == ({"a": 2}, 2)
        raise DeliberateError
    assert (view.rows(), view.max_tracking_id("upstream")) == ({"a": 1}, 1)


def test_takes_part_in_a_transaction_of_the_caller(view: Sums) -> None:
    view.add(1)
    with view.datastore.engine.connect() as connection:
        with view.transaction(connection):
            view.add(2)
        connection.rollback()
    assert (view.rows(), view.max_tracking_id("upstream")) == ({"a": 1}, 1)


def test_any_statement(view: Sums) -> None:
    sums = view.sums
    count = select(func.count()).select_from(view.sums.alias()).scalar_subquery()
    statements: list[Executable] = [
        insert(sums).values(name="a", total=1),
        update(sums).values(total=sums.c.total + 1),
        upsert(sums, {"name": "a", "total": 0}, set_={"total": sums.c.total + count}),
        text("UPDATE sums SET total = total + 10"),
    ]
    for position, statement in enumerate(statements, 1):
        view.process(Tracking("upstream", position), statement)
        with pytest.raises(IntegrityError):
            view.process(Tracking("upstream", position), statement)
    assert view.rows() == {"a": 13}


def test_rivals_apply_an_event_once(view: Sums) -> None:
    barrier = Barrier(6)

    def process() -> int:
        barrier.wait()
        applied = 0
        for position in range(1, 31):
            with suppress(IntegrityError, OperationalError):  # A deadlock, on some.
                view.add(position)
                applied += 1
        return applied

    with ThreadPoolExecutor(6) as threads:
        applied = [threads.submit(process) for _ in range(6)]
    assert view.max_tracking_id("upstream") == 30
    assert view.rows() == {"a": sum(each.result() for each in applied)}


@pytest.mark.needs(Capability.LOCK_TIMEOUT)
@pytest.mark.parametrize(("position", "applied"), [(2, 1), (3, 2)])
def test_waits_for_a_rival_and_sees_what_it_wrote(
    view: Sums, position: int, applied: int
) -> None:
    """Also the row that the rival inserts while it waits."""
    view.process(Tracking("upstream", 1), view.adding("other", 1))
    tracked, may_commit = Event(), Event()

    def hold() -> None:
        with view.processing(Tracking("upstream", 2)) as connection:
            connection.execute(view.adding("a", 1))
            tracked.set()
            assert may_commit.wait(10)

    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(hold)
        assert tracked.wait(10)
        waiting = threads.submit(view.add, position)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        may_commit.set()
        holding.result(timeout=10)
        error = waiting.exception(timeout=10)
    assert isinstance(error, IntegrityError) == (position == 2)
    assert view.rows() == {"other": 1, "a": applied}
    assert view.max_tracking_id("upstream") == position


@pytest.mark.needs(Capability.SCHEMAS)
def test_is_in_the_schema(open_factory: OpenFactory) -> None:
    views = [
        open_factory("Sums", SQLALCHEMY_SCHEMA=schema).tracking_recorder(Sums)
        for schema in ("", "one", "two")
    ]
    for number, view in enumerate(views, 1):
        for position in range(1, number + 1):
            view.add(position)
    assert [view.rows() for view in views] == [{"a": 1}, {"a": 2}, {"a": 3}]
    with suppress(IntegrityError), views[0].transaction():
        views[1].add(3)
        views[2].add(3)
    assert [view.rows() for view in views] == [{"a": 1}, {"a": 2}, {"a": 3}]


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
@pytest.mark.parametrize("schema", ["", "one"])
def test_is_one_statement(open_factory: OpenFactory, schema: str) -> None:
    view = open_factory("Sums", SQLALCHEMY_SCHEMA=schema).tracking_recorder(Sums)
    view.add(1)
    with conversation(view.datastore.engine) as said:
        view.add(2)
    assert len([each for each in said if each != "COMMIT"]) == 1
    with view.datastore.statement() as executor:
        assert executor.driver_connection.autocommit


def test_refuses_values_as_a_block_does(view: Sums) -> None:
    row = {"name": "a", "total": 1, "id": 5}
    errors = []
    for position in (1, 2):
        tracking = Tracking("upstream", position)
        with pytest.raises(PersistenceError) as refused:
            view.process(tracking, upsert(view.sums, row))
        errors.append(refused.type)
        with (
            pytest.raises(PersistenceError) as refused,
            view.processing(tracking) as connection,
        ):
            connection.execute(upsert(view.sums, row))
        errors.append(refused.type)
    assert len(set(errors)) == 1
    assert view.max_tracking_id("upstream") is None


def test_is_heard_by_those_who_listen(view: Sums) -> None:
    """Where somebody listens, SQLAlchemy executes it, with the same outcome."""
    heard: list[Any] = []

    def hear(connection: Connection, *_: Any) -> None:
        heard.append(connection)

    event.listen(view.datastore.engine, "before_cursor_execute", hear)
    try:
        test_each_event_counts_once(view)
    finally:
        event.remove(view.datastore.engine, "before_cursor_execute", hear)
    assert heard


def test_wakes_those_who_wait(view: Sums, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once, by a hint: the next look would come too late."""
    monkeypatch.setattr(tracking, "SHORTEST_PAUSE", 5)
    monkeypatch.setattr(tracking, "LONGEST_PAUSE", 5)
    with ThreadPoolExecutor(1) as threads:
        for position in range(1, 21):
            waiting = threads.submit(view.wait, "upstream", position, timeout=10)
            view.add(position)
            waiting.result(timeout=1)
