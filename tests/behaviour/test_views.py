"""Materialised views: tables that change once for each event."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import (
    IntegrityError,
    OperationalError,
    ProgrammingError,
    Tracking,
)
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    inspect,
    select,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backends import Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import (
    SQLAlchemyFactory,
    SQLAlchemyMaterialisedView,
    upsert,
)
from eventsourcing_alchemy.dialects import lookup
from eventsourcing_alchemy.dialects.base import BaseDialect
from factories import OpenFactory

pytestmark = pytest.mark.observed


class Base(DeclarativeBase):
    """The user's own mapped classes."""


class Visit(Base):
    __tablename__ = "visits"

    page: Mapped[str] = mapped_column(String(100), primary_key=True)
    count: Mapped[int]


class Visits(SQLAlchemyMaterialisedView):
    metadata = Base.metadata

    def visit(self, page: str, tracking: Tracking) -> None:
        with self.session(tracking) as session:
            visit = session.get(Visit, page)
            if visit is None:
                session.add(Visit(page=page, count=1))
            else:
                visit.count += 1

    def count(self, page: str) -> int:
        with self.reading() as connection:
            found = connection.scalar(select(Visit.count).where(Visit.page == page))
            return found or 0


class Counters(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    counters = Table(
        "counters",
        metadata,
        Column("name", String(50), primary_key=True),
        Column("kind", String(50), primary_key=True),
        Column("count", Integer, nullable=False),
        Column("note", String(50)),
    )

    def increment(self, name: str, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            self.add(connection, name)

    def add(self, connection: Connection, name: str, count: int = 1) -> None:
        values = {"name": name, "kind": "%(x)s :y", "count": count}
        statement = upsert(
            self.counters, values, set_={"count": self.counters.c.count + count}
        )
        connection.execute(statement)

    def rows(self) -> list[tuple[Any, ...]]:
        with self.reading() as connection:
            statement = select(self.counters).order_by(self.counters.c.name)
            return [tuple(row) for row in connection.execute(statement)]


@pytest.fixture
def view(factory: SQLAlchemyFactory) -> Counters:
    return factory.tracking_recorder(Counters)


def test_changes_once_for_each_event(view: Counters) -> None:
    view.increment("a", Tracking("upstream", 1))
    view.increment("a", Tracking("upstream", 2))
    with pytest.raises(IntegrityError, match="has already processed position 2"):
        view.increment("a", Tracking("upstream", 2))
    assert view.rows() == [("a", "%(x)s :y", 2, None)]
    assert view.max_tracking_id("upstream") == 2


def test_changes_with_the_tracking_or_not_at_all(view: Counters) -> None:
    with (
        suppress(DeliberateError),
        view.processing(Tracking("upstream", 1)) as connection,
    ):
        view.add(connection, "a")
        raise DeliberateError
    assert view.rows() == []
    assert view.max_tracking_id("upstream") is None


def test_duplicates_fail_before_any_work(view: Counters) -> None:
    view.increment("a", Tracking("upstream", 1))

    def process() -> None:
        with view.processing(Tracking("upstream", 1)):
            pytest.fail("began to process a duplicate")

    with pytest.raises(IntegrityError):
        process()


def test_rivals_apply_an_event_once(view: Counters) -> None:
    barrier = Barrier(6)

    def process() -> int:
        barrier.wait()
        applied = 0
        for position in range(1, 11):
            with suppress(IntegrityError, OperationalError):  # A deadlock, on some.
                view.increment("a", Tracking("upstream", position))
                applied += 1
        return applied

    with ThreadPoolExecutor(6) as threads:
        applied = [threads.submit(process) for _ in range(6)]
    assert view.max_tracking_id("upstream") == 10
    assert view.rows()[0][2] == sum(future.result() for future in applied) <= 10


@pytest.mark.needs(Capability.SHARED)
def test_those_who_create_its_tables_at_once(open_factory: OpenFactory) -> None:
    """In threads, each with a datastore of its own: none fails by the others."""
    factories = [open_factory(f"Copy{number}") for number in range(6)]
    barrier = Barrier(len(factories))

    def construct(factory: SQLAlchemyFactory) -> Counters:
        barrier.wait()
        return factory.tracking_recorder(Counters)

    with ThreadPoolExecutor(len(factories)) as threads:
        views = [*threads.map(construct, factories)]
    views[0].increment("a", Tracking("upstream", 1))
    assert [len(view.rows()) for view in views] == [1] * len(views)


def test_orm_session_that_fails(factory: SQLAlchemyFactory) -> None:
    view = factory.tracking_recorder(Visits)
    view.visit("home", Tracking("upstream", 1))

    def carry_on() -> None:
        with view.session(Tracking("upstream", 2)) as session:
            session.add(Visit(page="home", count=1))
            with suppress(SQLAlchemyError):
                session.flush()

    with pytest.raises(SQLAlchemyError):
        carry_on()
    assert view.max_tracking_id("upstream") == 1
    with view.session(Tracking("upstream", 2)) as session:
        session.add(Visit(page="away", count=1))
        session.flush()
        session.rollback()
        session.add(Visit(page="garden", count=1))
    assert (view.count("away"), view.count("garden")) == (0, 1)
    assert view.max_tracking_id("upstream") == 2


@pytest.mark.needs(Capability.SCHEMAS)
def test_tables_are_in_the_schema(open_factory: OpenFactory) -> None:
    views = [
        open_factory("Counters", SQLALCHEMY_SCHEMA=schema).tracking_recorder(Counters)
        for schema in ("", "one", "two")
    ]
    for number, view in enumerate(views, 1):
        for position in range(1, number + 1):
            view.increment("a", Tracking("upstream", position))
    with views[1].transaction():
        views[1].increment("a", Tracking("upstream", 11))
        views[2].increment("a", Tracking("upstream", 11))
        assert [view.rows()[0][2] for view in views] == [1, 3, 4]
    assert [view.rows()[0][2] for view in views] == [1, 3, 4]


def test_orm_session(factory: SQLAlchemyFactory) -> None:
    view = factory.tracking_recorder(Visits)
    view.visit("home", Tracking("upstream", 1))
    view.visit("home", Tracking("upstream", 2))
    with pytest.raises(IntegrityError):
        view.visit("home", Tracking("upstream", 2))
    assert view.count("home") == 2
    with (
        suppress(DeliberateError),
        view.session(Tracking("upstream", 3)) as session,
    ):
        session.add(Visit(page="away", count=1))
        session.commit()
        raise DeliberateError
    assert view.count("away") == 0
    assert view.max_tracking_id("upstream") == 2


@pytest.fixture(params=["native", "default"])
def counters(
    request: pytest.FixtureRequest, view: Counters, monkeypatch: pytest.MonkeyPatch
) -> Counters:
    """The view, as on a database that we know or that we do not."""
    if request.param == "default":
        backend = view.datastore.engine.dialect.name
        monkeypatch.setitem(lookup._DIALECTS, backend, BaseDialect)
    return view


def test_upsert_of_expressions(counters: Counters) -> None:
    with counters.transaction() as connection:
        counters.add(connection, "a", 2)
        counters.add(connection, "b", 3)
        counters.add(connection, "a", 40)
    assert [row[2] for row in counters.rows()] == [42, 3]


def test_upsert_of_values(counters: Counters) -> None:
    key = {"name": "a", "kind": "k"}
    with counters.transaction() as connection:
        for count, note in (1, "one"), (2, None), (3, "three"):
            values = {**key, "count": count, "note": note}
            connection.execute(upsert(counters.counters, values))
    assert counters.rows() == [("a", "k", 3, "three")]


def test_upsert_of_nothing_but_a_key(counters: Counters) -> None:
    keys = MetaData()
    table = Table("keys_only", keys, Column("id", Integer, primary_key=True))
    keys.create_all(counters.datastore.engine)
    with counters.transaction() as connection:
        for _ in range(2):
            connection.execute(upsert(table, {"id": 1}))
        assert connection.scalars(select(table.c.id)).all() == [1]


def test_upsert_by_another_unique_key(counters: Counters) -> None:
    others = MetaData()
    table = Table(
        "others",
        others,
        Column("id", Integer, primary_key=True),
        Column("email", String(50), unique=True),
        Column("name", String(50)),
    )
    others.create_all(counters.datastore.engine)
    with counters.transaction() as connection:
        for name in ("Ann", "Anna"):
            values = {"email": "ann@example.com", "name": name}
            connection.execute(upsert(table, values, index_elements=["email"]))
        assert connection.scalars(select(table.c.name)).all() == ["Anna"]


def test_upsert_in_an_orm_session(view: Counters) -> None:
    with view.session(Tracking("upstream", 1)) as session:
        values = {"name": "a", "kind": "k", "count": 1}
        session.execute(upsert(view.counters, values))
        session.execute(upsert(view.counters, values | {"count": 2}))
    assert view.rows() == [("a", "k", 2, None)]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"values": {"name": "a"}}, r"missing: \['kind'\]"),
        ({"values": {"name": "a", "kind": "k", "x": 1}}, r"unknown: \['x'\]"),
        ({"values": {"name": "a", "kind": "k"}, "set_": {"y": 1}}, r"\['y'\]"),
    ],
)
def test_upsert_of_what_does_not_fit(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        upsert(Counters.counters, **arguments)


@pytest.mark.needs(Capability.SHARED)
def test_tables_of_views_are_the_user_s_without_create_table(
    open_factory: OpenFactory,
) -> None:
    open_factory().application_recorder()
    factory = open_factory("Visits", CREATE_TABLE="no")
    with pytest.raises(ProgrammingError, match="lacks visits,"):
        factory.tracking_recorder(Visits)
    open_factory("Visits").tracking_recorder(Visits)
    view = factory.tracking_recorder(Visits)
    with view.datastore.reading() as connection:
        assert inspect(connection).has_table("visits")


def test_view_without_tables(factory: SQLAlchemyFactory) -> None:
    view = factory.tracking_recorder(SQLAlchemyMaterialisedView)
    with view.processing(Tracking("upstream", 1)):
        pass
    assert view.max_tracking_id("upstream") == 1
