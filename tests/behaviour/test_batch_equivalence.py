"""What a view does in a batch, or by one statement, is what it does event by event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from threading import Event, Lock
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import Notification, Tracking
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    bindparam,
    func,
    select,
    update,
)

from backends import Capability
from behaviour.workers import new_events
from conversations import conversation
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    SQLAlchemyMaterialisedView,
    upsert,
)
from eventsourcing_alchemy import metadata as own_metadata
from eventsourcing_alchemy.runners import batching
from eventsourcing_alchemy.runners.batching import Batches
from eventsourcing_alchemy.runners.forgotten_tracking import ForgottenTracking
from eventsourcing_alchemy.upserts import targets
from triggers_of_tables import after_each_row

NAME = "upstream"
EVENTS = 12

tracked_positions = own_metadata.tables["es_tracking"].c
tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


class OfTenant(TypeDecorator[str]):
    """Stands for a value that is encrypted with the key of the current tenant."""

    impl = String(50)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return f"{tenant.get()}: {value}"


class Subclassed(TypeDecorator[str]):
    """Gives the driver values of a type that nobody knows."""

    impl = String(50)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return type("Text", (str,), {})(value)


class Things(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    things = Table(
        "things",
        metadata,
        Column("name", String(50), primary_key=True),
        Column("number", BigInteger, nullable=False),
    )
    notes = Table(
        "notes",
        metadata,
        Column("k", BigInteger, primary_key=True, autoincrement=False),
        Column("number", BigInteger),
        Column("document", JSON),
        Column("secret", OfTenant),
        Column("text", Subclassed),
    )

    def one_more(self, name: str) -> Any:
        row = {"name": name, "number": 1}
        return upsert(self.things, row, set_={"number": self.things.c.number + 1})

    def note(self, key: int, **values: Any) -> Any:
        return upsert(self.notes, {"k": key, **values})

    def noted(self, column: str = "number") -> list[Any]:
        statement = select(self.notes.c[column]).order_by(self.notes.c.k)
        with self.reading() as connection:
            return list(connection.scalars(statement))


Process = Callable[[Connection, int], None]
Batch = Callable[[Process], None]


@pytest.fixture(autouse=True)
def without_limit_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "LONGEST_BATCH", 60.0)


@pytest.fixture
def view(factory: SQLAlchemyFactory) -> Things:
    # What the database has is looked up anew.
    for table in (*Things.metadata.tables.values(), own_metadata.tables["es_tracking"]):
        table.info.clear()
    return factory.tracking_recorder(Things)


@pytest.fixture
def notifications(factory: SQLAlchemyFactory) -> Sequence[Notification]:
    upstream: SQLAlchemyApplicationRecorder = factory.application_recorder()
    upstream.insert_events(new_events(EVENTS))
    return upstream.select_notifications(None, EVENTS)


@pytest.fixture
def batch(view: Things, notifications: Sequence[Notification]) -> Batch:
    """Processes all events in one transaction, each in a block of its own."""

    def batch(process: Process) -> None:
        def process_event(notification: Notification) -> None:
            with view.processing(Tracking(NAME, notification.id)) as connection:
                process(connection, notification.id)

        made = Batches(view, NAME, EVENTS, lambda: False, ForgottenTracking(view, NAME))
        made.size = EVENTS
        assert made.process(notifications, process_event) == EVENTS

    return batch


def test_values_are_those_of_the_moment(view: Things, batch: Batch) -> None:
    """Of a type that asks who is current; of a document that goes on changing."""
    document: dict[str, Any] = {}

    def process(connection: Connection, position: int) -> None:
        tenant.set(f"tenant {position % 3}")
        document["n"] = position
        connection.execute(view.note(position, document=document, secret="s"))  # noqa: S106
        document["n"] = None

    batch(process)
    expected = [f"tenant {n % 3}: s" for n in range(1, EVENTS + 1)]
    assert view.noted("secret") == expected
    assert view.noted("document") == [{"n": n} for n in range(1, EVENTS + 1)]


def test_parameters_are_those_of_the_moment(view: Things, batch: Batch) -> None:
    """Of a statement that is declared once, whose dictionaries are used again."""
    names: dict[str, Any] = {name: bindparam(name) for name in ("k", "document")}
    statement = upsert(view.notes, {**names, "secret": bindparam("secret")})
    parameters: dict[str, Any] = {"secret": "s", "document": {}}

    def process(connection: Connection, position: int) -> None:
        tenant.set(f"tenant {position % 3}")
        parameters["k"] = parameters["document"]["n"] = position
        connection.execute(statement, parameters)
        parameters["document"]["n"] = None

    batch(process)
    expected = [f"tenant {n % 3}: s" for n in range(1, EVENTS + 1)]
    assert view.noted("secret") == expected
    assert view.noted("document") == [{"n": n} for n in range(1, EVENTS + 1)]


def test_values_that_cannot_be_copied(view: Things, batch: Batch) -> None:
    class Uncopied(dict[str, Any]):
        def __init__(self, **values: Any) -> None:
            super().__init__(values)
            self.lock = Lock()

    def process(connection: Connection, position: int) -> None:
        values: dict[str, Any] = {"document": Uncopied(n=position)}
        if position % 2:
            values["text"] = "odd"
        connection.execute(view.note(position, **values))

    batch(process)
    assert view.noted("document") == [{"n": n} for n in range(1, EVENTS + 1)]
    assert view.noted("text") == ["odd", None] * (EVENTS // 2)


def test_another_thread_finds_them_executed(view: Things, batch: Batch) -> None:
    number = select(view.things.c.number)

    def process(connection: Connection, position: int) -> None:
        connection.execute(view.one_more("a"))
        seen = threads.submit(connection.scalar, number).result()
        connection.execute(view.note(position, number=seen))

    with ThreadPoolExecutor(1) as threads:
        batch(process)
    assert view.noted() == list(range(1, EVENTS + 1))


def test_another_thread_does_not_overtake(view: Things, batch: Batch) -> None:
    def process(connection: Connection, position: int) -> None:
        for key, by in ((position, connection.execute), (position + 1, other_thread)):
            by(view.note(0, number=key))

    def other_thread(statement: Any) -> None:
        threads.submit(connections[0].execute, statement).result()

    connections: list[Connection] = []

    def keeping(connection: Connection, position: int) -> None:
        connections[:] = [connection]
        process(connection, position)

    with ThreadPoolExecutor(1) as threads:
        batch(keeping)
    assert view.noted() == [EVENTS + 1]


def test_cursors_of_the_driver_find_them_executed(view: Things, batch: Batch) -> None:
    """Also one that was made before, and kept."""
    kept: list[Any] = []

    def process(connection: Connection, position: int) -> None:
        connection.execute(view.one_more("a"))
        if position % 2 or not kept:
            kept[:] = [connection.connection.cursor()]
        kept[0].execute("UPDATE things SET number = number * 2")
        connection.execute(view.one_more("a"))

    batch(process)
    number = 0
    for _ in range(EVENTS):
        number = (number + 1) * 2 + 1
    with view.reading() as connection:
        assert connection.scalar(select(view.things.c.number)) == number


def test_a_query_sees_the_position(view: Things, batch: Batch) -> None:
    seen: list[Any] = []

    def process(connection: Connection, position: int) -> None:
        connection.execute(view.note(position))
        if position % 3 == 0:
            seen.append(connection.scalar(select(tracked_positions.notification_id)))
        seen.append(view.max_tracking_id(NAME))

    batch(process)
    assert sorted({*seen}) == list(range(1, EVENTS + 1))
    assert seen[2:4] == [3, 3]


@pytest.mark.parametrize("table", ["things", "es_tracking"])
def test_a_trigger_sees_each_position(view: Things, batch: Batch, table: str) -> None:
    with view.datastore.engine.begin() as connection:
        sees = "INSERT INTO notes (k) SELECT notification_id FROM es_tracking"
        after_each_row(connection, table, sees)

    def process(connection: Connection, _: int) -> None:
        connection.execute(view.one_more("a"))

    batch(process)
    assert view.noted("k") == list(range(1, EVENTS + 1))


def test_an_expression_sees_the_position(view: Things, batch: Batch) -> None:
    position_now = select(tracked_positions.notification_id).scalar_subquery()

    def process(connection: Connection, _: int) -> None:
        row = {"name": "a", "number": 0}
        more = {"number": view.things.c.number + position_now}
        connection.execute(upsert(view.things, row, set_=more))

    batch(process)
    with view.reading() as connection:
        total = connection.scalar(select(view.things.c.number))
    assert total == sum(range(2, EVENTS + 1))


@pytest.mark.parametrize("nested", [{EVENTS}, {1, 4, 5}, set(range(1, EVENTS + 1))])
def test_events_in_savepoints(
    view: Things, notifications: Sequence[Notification], nested: set[int]
) -> None:
    def process_event(notification: Notification) -> None:
        tracking = Tracking(NAME, notification.id)
        if notification.id in nested:
            with view.transaction() as connection, connection.begin_nested():
                process(tracking)
        else:
            process(tracking)

    def process(tracking: Tracking) -> None:
        with view.processing(tracking) as connection:
            connection.execute(view.note(tracking.notification_id))

    made = Batches(view, NAME, EVENTS, lambda: False, ForgottenTracking(view, NAME))
    made.size = EVENTS
    assert made.process(notifications, process_event) == EVENTS
    assert view.noted("k") == list(range(1, EVENTS + 1))
    assert view.max_tracking_id(NAME) == EVENTS


def test_number_of_rows_is_known_at_any_time(view: Things, batch: Batch) -> None:
    def process(connection: Connection, position: int) -> None:
        results = [connection.execute(view.one_more(name)) for name in "ab"]
        counts = [result.rowcount > 0 for result in results]
        connection.execute(view.note(position, number=sum(counts)))

    batch(process)
    assert view.noted() == [2] * EVENTS


@pytest.mark.needs(Capability.KNOWN_SIDE_EFFECTS)
@pytest.mark.parametrize("has_document", [False, True])
def test_upserts_and_positions_wait_where_nobody_can_tell(
    view: Things, batch: Batch, has_document: bool
) -> None:
    """They are as fast as ever: what they wait for is one statement, or a few."""
    values = {"document": {"a": 1}} if has_document else {"number": 1}

    def process(connection: Connection, position: int) -> None:
        connection.execute(view.note(position, **values))

    with conversation(view.datastore.engine) as said:
        batch(process)
    assert len([each for each in said if "UPDATE es_tracking" in each]) == 2
    upserts = [each for each in said if "INTO notes" in each]
    assert len(upserts) == (1 if view.datastore.dialect.collects_upserts else EVENTS)


def test_a_trigger_is_noticed_in_time(
    view: Things, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "KNOWN_FOR", 0.0)

    def process(connection: Connection, position: int) -> None:
        connection.execute(view.one_more("a"))
        if position == EVENTS // 2:
            connection.execute(update(view.things).values(number=0))

    batch(process)
    with view.datastore.engine.begin() as connection:
        sees = "UPDATE notes SET number = number + 1"
        after_each_row(connection, "things", sees)
    with view.transaction() as connection:
        target = targets.target_of(
            view.things, view.datastore.engine.dialect, view.datastore.schemas
        )
        assert target.has_side_effects(view.transaction)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_one_statement_sees_what_a_block_sees(factory: SQLAlchemyFactory) -> None:
    """A default that reads the table sees what a rival wrote while it waited."""
    metadata = MetaData()
    places = Table(
        "places",
        metadata,
        Column("k", Integer, primary_key=True, autoincrement=False),
        Column("place", Integer, nullable=False),
    )

    class Places(SQLAlchemyMaterialisedView):
        pass

    Places.metadata = metadata
    view = factory.tracking_recorder(Places)
    with view.datastore.engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION next_place() RETURNS int LANGUAGE sql STABLE "
            "AS 'SELECT coalesce(max(place), 0) + 1 FROM places'"
        )
        connection.exec_driver_sql(
            "ALTER TABLE places ALTER place SET DEFAULT next_place()"
        )
    view.insert_tracking(Tracking(NAME, 1))
    tracked, may_commit = Event(), Event()

    def hold() -> None:
        with view.processing(Tracking(NAME, 2)) as connection:
            tracked.set()
            assert may_commit.wait(10)
            connection.execute(upsert(places, {"k": 2}, set_={"k": 2}))

    with ThreadPoolExecutor(2) as threads:
        holding = threads.submit(hold)
        assert tracked.wait(10)
        statement = upsert(places, {"k": 3}, set_={"k": 3})
        waiting = threads.submit(view.process, Tracking(NAME, 3), statement)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        may_commit.set()
        holding.result(timeout=10)
        waiting.result(timeout=10)
    with view.reading() as connection:
        assert connection.scalar(select(func.max(places.c.place))) == 2
