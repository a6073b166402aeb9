"""What a projection does beside its view, and a rebuild would have it do once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import ProgrammingError, Tracking
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session, registry
from sqlalchemy.schema import CreateTable

from backends import Backend, Capability
from eventsourcing_alchemy import PoisonPolicy, upsert
from rebuilding.in_use import InUse, connected
from rebuilding.shop import Order, Orders, OrdersProjection

pytestmark = pytest.mark.needs(Capability.SHARED)

FIRST = 21
"""Position of the first order that is written about."""

letters = Table("letters", MetaData(), Column("position", Integer, primary_key=True))
"""Of the application, or of another view."""


class Letter:
    def __init__(self, position: int) -> None:
        self.position = position


registry().map_imperatively(Letter, letters)


class Writing(OrdersProjection):
    """Writes a letter for each order, in the transaction of the view."""

    name = OrdersProjection.name
    write: ClassVar[Callable[[Orders, Connection, int], None]]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        with self.view.transaction() as connection:
            super().process_event(domain_event, tracking)
            if isinstance(domain_event, Order.Created):
                type(self).write(self.view, connection, tracking.notification_id)


def by_insert(_: Orders, connection: Connection, position: int) -> None:
    connection.execute(insert(letters).values(position=position))


def by_upsert(_: Orders, connection: Connection, position: int) -> None:
    connection.execute(upsert(letters, {"position": position}))


def by_update(_: Orders, connection: Connection, position: int) -> None:
    connection.execute(insert(letters).values(position=position))
    connection.execute(update(letters).values(position=letters.c.position))


def by_delete(_: Orders, connection: Connection, position: int) -> None:
    connection.execute(text("INSERT INTO letters VALUES (:p)"), {"p": position})
    connection.execute(delete(letters).where(letters.c.position < position))


def by_text(_: Orders, connection: Connection, position: int) -> None:
    connection.execute(text("INSERT INTO letters VALUES (:p)"), {"p": position})


def by_session(_: Orders, connection: Connection, position: int) -> None:
    with Session(connection) as session:
        session.add(Letter(position))
        session.flush()


def by_alias(_: Orders, connection: Connection, position: int) -> None:
    if position == FIRST:
        connection.execute(insert(letters).values(position=position))
    alias: Any = letters.alias("a")
    connection.execute(update(alias).values(position=alias.c.position))


def by_select(_: Orders, connection: Connection, position: int) -> None:
    """On PostgreSQL, a query can write."""
    row = insert(letters).values(position=position)
    if connection.dialect.name == "postgresql":
        written = row.returning(letters.c.position).cte("written")
        assert connection.scalar(select(written.c.position)) == position
    else:
        connection.execute(row)


def by_commented_text(_: Orders, connection: Connection, position: int) -> None:
    insert_it = "/* a letter */ INSERT INTO letters -- and more\n VALUES (:p)"
    connection.execute(text(insert_it), {"p": position})


def by_text_of_the_driver(_: Orders, connection: Connection, position: int) -> None:
    connection.exec_driver_sql(f"INSERT INTO letters VALUES ({position})")  # noqa: S608


WRITERS = [by_insert, by_upsert, by_update, by_delete, by_alias, by_select]
WRITERS += [by_session, by_text, by_commented_text, by_text_of_the_driver]


@pytest.fixture
def written(backend: Backend) -> Iterator[Callable[[], list[int]]]:
    """Tells which letters there are."""

    def positions() -> list[int]:
        with connected(backend) as connection:
            found = select(letters.c.position).order_by(letters.c.position)
            return list(connection.scalars(found))

    with connected(backend) as connection:
        letters.create(connection)
        connection.commit()
    yield positions
    del Writing.write


@pytest.mark.parametrize("write", WRITERS)
def test_to_tables_of_others(
    in_use: InUse,
    written: Callable[[], list[int]],
    write: Callable[[Orders, Connection, int], None],
) -> None:
    Writing.write = staticmethod(write)
    with in_use.running(projection_class=Writing) as runner:
        runner.wait(in_use.shop.order("Bea"), timeout=10)
    before = in_use.content(), written()
    assert before[1]
    for policy in (PoisonPolicy(), PoisonPolicy(dead_letter=True)):
        with pytest.raises(ProgrammingError, match=r"'letters', wh|none of the vi"):
            in_use.rebuild(projection_class=Writing, poison=policy)
        assert (in_use.content(), written()) == before
    assert in_use.dead_letters() == []
    in_use.rebuild(restart=True)


def by_application(in_use: InUse) -> Callable[[Orders, Connection, int], None]:
    def save(_: Orders, __: Connection, ___: int) -> None:
        in_use.shop.save(Aggregate())

    return save


def by_recorder(in_use: InUse) -> Callable[[Orders, Connection, int], None]:
    def write(_: Orders, __: Connection, position: int) -> None:
        with in_use.shop.recorder.transaction() as connection:  # type: ignore[attr-defined]
            connection.execute(insert(letters).values(position=position))

    return write


def by_engine(in_use: InUse) -> Callable[[Orders, Connection, int], None]:
    def write(_: Orders, __: Connection, position: int) -> None:
        recorder: Any = in_use.shop.recorder
        with (
            recorder.datastore.engine.connect() as connection,
            recorder.transaction(connection) as joined,
        ):
            joined.execute(insert(letters).values(position=position))

    return write


@pytest.mark.parametrize("writing", [by_application, by_recorder, by_engine])
def test_by_other_recorders(
    in_use: InUse,
    written: Callable[[], list[int]],
    writing: Callable[[InUse], Callable[[Orders, Connection, int], None]],
) -> None:
    """Also of an application in the same file, whose lock the rebuild has."""
    Writing.write = staticmethod(writing(in_use))
    before = in_use.shop.recorder.max_notification_id(), written(), in_use.content()
    with pytest.raises(ProgrammingError, match="writes by another recorder than its"):
        in_use.rebuild(projection_class=Writing)
    after = in_use.shop.recorder.max_notification_id(), written(), in_use.content()
    assert after == before
    in_use.rebuild(restart=True)


@pytest.mark.parametrize(
    "statement",
    [
        "/* all */ UPDATE {totals} SET customer = customer",
        "DELETE FROM {totals} WHERE 1 < (SELECT count(*) FROM letters)",
        "SELECT replace('a', 'b', 'c')",
    ],
)
def test_text_that_is_not_refused(
    in_use: InUse, written: Callable[[], list[int]], statement: str
) -> None:
    def write(view: Orders, connection: Connection, _: int) -> None:
        connection.execute(text(statement.format(totals=view.table_name(view.totals))))

    Writing.write = staticmethod(write)
    in_use.rebuild(projection_class=Writing)
    assert written() == []


def test_temporary_tables_are_not_refused(
    in_use: InUse, written: Callable[[], list[int]]
) -> None:
    """Nothing of them lasts."""

    def write(_: Orders, connection: Connection, position: int) -> None:
        staged = Table(
            "staged",
            MetaData(),
            Column("position", Integer, primary_key=True),
            prefixes=["TEMPORARY"],
        )
        connection.execute(CreateTable(staged, if_not_exists=True))
        connection.execute(delete(staged))
        connection.execute(insert(staged).values(position=position))
        assert connection.scalar(select(staged.c.position)) == position

    Writing.write = staticmethod(write)
    in_use.rebuild(projection_class=Writing)
    assert written() == []


def test_reading_is_not_refused(
    in_use: InUse, backend: Backend, written: Callable[[], list[int]]
) -> None:
    with connected(backend) as connection:
        connection.execute(insert(letters).values(position=7))
        connection.commit()
    seen: list[int] = []

    def read(_: Orders, connection: Connection, __: int) -> None:
        seen.append(connection.scalar(select(func.count()).select_from(letters)) or 0)
        in_use.shop.recorder.max_notification_id()

    Writing.write = staticmethod(read)
    in_use.rebuild(projection_class=Writing)
    assert set(seen) == {1}
    assert written() == [7]
