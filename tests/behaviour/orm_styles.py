"""Styles of views that use the ORM: what one event does, of whichever position."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from eventsourcing.persistence import Tracking
from sqlalchemy import Connection, delete, func, insert, select, text, update
from sqlalchemy.event import listen
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from behaviour.orm_tables import (
    Animal,
    Base,
    Checked,
    Child,
    Coded,
    CodedPart,
    CodedWhole,
    Converted,
    Dog,
    Doubled,
    Entry,
    Filled,
    Item,
    ItemAgain,
    Linked,
    OrmView,
    Owned,
    Owner,
    Padded,
    Parent,
    Partial,
    Position,
    Unique,
    Versioned,
)
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import upsert

ITEMS = Base.metadata.tables["items"]


@dataclass
class Event:
    """An event that is being processed.

    Attributes:
        view: to change.
        tracking: of the event.
        kept: what the view keeps from one event to the next.
        seen: what it has read.
    """

    view: OrmView
    tracking: Tracking
    kept: dict[Any, Any]
    seen: list[Any] = field(default_factory=list)

    @property
    def position(self) -> int:
        return self.tracking.notification_id

    def see(self, *values: Any) -> None:
        self.seen.append(values)


Process: TypeAlias = Callable[[Event], None]

STYLES: list[Any] = []


@dataclass(frozen=True)
class Style:
    """How events are processed, and whether they share a transaction."""

    process: Process
    is_batched: bool

    def __str__(self) -> str:
        return self.process.__name__


def style(*, is_batched: bool = True) -> Callable[[Process], Process]:
    def add(process: Process) -> Process:
        STYLES.append(Style(process, is_batched))
        return process

    return add


def count(session: Session, key: str, by: int = 1) -> Item:
    item = session.get(Item, key)
    if item is None:
        item = Item(key=key, n=0)
        session.add(item)
    item.n += by
    return item


@style()
def count_a_few(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(count(session, f"key {event.position % 3}").n)


@style()
def count_two(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(count(session, f"key {event.position % 3}").n)
        event.see(count(session, f"key {event.position % 4}", 2).n)


@style()
def count_many(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, f"key {event.position}")
        if event.position % 2:
            session.flush()


@style()
def see_own_writes(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, f"key {event.position % 3}")
        event.see(*session.execute(select(Item.key, Item.n).order_by(Item.key)).all())
        event.see(session.scalar(select(func.sum(Item.n))))


@style()
def states_of_a_session(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(len(session.identity_map), len(session.new), session.in_transaction())
        item = count(session, f"key {event.position % 3}")
        event.see(item in session, item in session.new, item in session.dirty)
        other = session.get(Item, "no such key")
        event.see(other, item in session.new, item in session.dirty, session.autoflush)
        event.see(session.get(Item, item.key) is item)


@style()
def without_autoflush(event: Event) -> None:
    with event.view.session(event.tracking) as session, session.no_autoflush:
        count(session, f"key {event.position % 3}")
        event.see(session.scalar(select(func.sum(Item.n))))
        item = session.get(Item, f"key {(event.position + 1) % 3}")
        event.see(item and item.n)


@style()
def identity_of_the_database(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        last = session.get(Entry, event.kept.get("id", 0))
        event.see(last and last.n)
        entry = Entry(n=event.position)
        session.add(entry)
        event.see(session.get(Item, "no such key"))
        event.see(entry.id)
        session.flush()
        event.see(entry.id)
        event.kept["id"] = entry.id


@style()
def defaults(event: Event) -> None:
    key = event.position // 2
    with event.view.session(event.tracking) as session:
        row = session.get(Filled, key)
        if row is None:
            session.add(Filled(id=key, n=event.position))
        else:
            event.see(row.constant, row.called, row.of_server, row.updated)
            row.n += 1
    with event.view.reading() as connection:
        event.see(*connection.execute(select(Filled).where(Filled.id == key)).all())


@style()
def converted_values(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Converted, 1)
        if row is None:
            row = Converted(
                id=1, amount=Decimal("0.123"), ratio=0.1, shouted="a", document={"a": 1}
            )
            session.add(row)
        else:
            event.see(row.amount, row.ratio, row.at, row.shouted, row.document)
            row.amount = row.amount / 3 + event.position
            row.ratio = row.ratio / 3 + event.position
            row.shouted += "b"
            row.document = {"a": event.position}
            row.document["a"] = str(event.position)


@style()
def time_of_python(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        key = f"key {event.position % 2}"
        item = count(session, key)
        item.note = f"note {event.position}" if event.position % 3 else None
        event.see(item.note)
    with event.view.session() as session:
        event.see(session.get_one(Item, key).note)


@style()
def expressions(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = count(session, "key")
        session.flush()
        item.n = Item.n * 2
        if event.position % 2:
            session.flush()
            event.see(item.n)


@style()
def change_of_nothing(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = session.get(Item, "key") or count(session, "key")
        item.n = int(str(item.n))
        item.note = "a"
        item.note = None
        event.see(item.n, item.note)


@style()
def change_of_a_key(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        old = session.get(Item, f"key {event.position - 1}")
        if old is None:
            count(session, f"key {event.position}")
        else:
            old.n += 1
            old.key = f"key {event.position}"
    with event.view.session() as session:
        event.see(session.get(Item, f"key {event.position - 1}"))
        event.see(session.get_one(Item, f"key {event.position}").n)


@style()
def delete_and_add_again(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = session.get(Item, "key")
        event.see(item and item.n)
        if item is None or event.position % 3:
            count(session, "key")
        else:
            session.delete(item)


@style()
def refreshed(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = count(session, "key")
        session.flush()
        session.connection().execute(update(ITEMS).values(n=ITEMS.c.n + 10))
        event.see(item.n)
        session.refresh(item)
        event.see(item.n)
        session.expire(item)
        event.see(item.n)


@style()
def options_of_get(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, "key")
        found = session.get(Item, ("key",), populate_existing=True)
        event.see(found and found.n)
    with event.view.session() as session:
        found = session.get(Item, {"key": "key"}, with_for_update=True)
        event.see(found and found.n)
        event.see(session.get_one(Item, "key").n)


@style()
def committed_halfway(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = count(session, f"key {event.position % 2}")
        session.commit()
        event.see(item.n)
        item.n += 1


@style(is_batched=False)
def rolled_back_halfway(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, "key")
        session.flush()
        if event.position % 2:
            session.rollback()
        event.see(count(session, "other").n)


@style(is_batched=False)
def closed_halfway(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, "key")
        session.flush()
        if event.position % 2:
            session.close()
        event.see(count(session, "other").n)


@style()
def savepoint_of_the_session(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, "key")
        with suppress(DeliberateError), session.begin_nested():
            item = count(session, "key", 100)
            count(session, "other", 100)
            if event.position % 2:
                raise DeliberateError
        event.see(item.n)
        event.see(count(session, "other").n)


@style()
def savepoint_before_anything_else(event: Event) -> None:
    """It begins with the first statement in it."""
    with event.view.transaction():
        with event.view.session() as session:
            count(session, f"key {event.position % 2}")
        with event.view.session(event.tracking) as session:
            with suppress(DeliberateError), session.begin_nested():
                event.see(count(session, "other").n)
                raise DeliberateError
            event.see(event.view.max_tracking_id(event.tracking.application_name))


@style()
def violation_in_a_savepoint_of_the_session(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Checked, 1) or Checked(id=1, n=0)
        session.add(row)
        try:
            with session.begin_nested():
                row.n = event.position % 5
        except SQLAlchemyError as error:
            event.see(type(error).__name__)
        event.see(row.n)


@style()
def savepoint_around_a_session(event: Event) -> None:
    with (
        event.view.transaction() as connection,
        connection.begin_nested() as savepoint,
    ):
        with event.view.session() as session:
            count(session, "key")
        if event.position % 2:
            savepoint.rollback()
    with event.view.session(event.tracking) as session:
        event.see(count(session, "key").n)


@style()
def violation_that_is_caught(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        session.add(Checked(id=event.position, n=event.position % 5))
        with suppress(SQLAlchemyError):
            session.flush()


@style()
def violation_that_the_next_event_mends(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Checked, 1)
        if row is None:
            session.add(Checked(id=1, n=0))
        else:
            row.n = 3 if event.position == 5 else event.position + 10


@style()
def missing_row_that_the_next_event_adds(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        if event.position == 6:
            session.add(Owned(id=event.position, owner_id=7, n=1))
        else:
            session.add(Owner(id=event.position, n=1))


@style()
def conflict_that_replaces_another_row(event: Event) -> None:
    n = event.position - (event.position % 4 == 0)
    with event.view.session(event.tracking) as session:
        before = session.get(Unique, event.position - 2)
        event.see(before and before.n)
        session.add(Unique(id=event.position, n=n))


@style()
def generated_column(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Doubled, event.position % 2)
        if row is None:
            session.add(Doubled(id=event.position % 2, n=1))
        else:
            event.see(row.twice)
            row.n += event.position


@style()
def unique_value_that_moves(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Checked, event.position % 3)
        if row is None:
            session.add(Checked(id=event.position % 3, n=event.position + 10))
        else:
            other = session.get(Checked, (event.position + 1) % 3)
            if other is not None:
                other.email = None
                session.flush()
            row.email = f"{event.position // 2}@example.com"


@style()
def errors_at_random(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(count(session, f"key {event.position % 3}").n)
        if event.position in {4, 9, 10}:
            raise DeliberateError


@style()
def duplicate_key(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        session.add(Item(key=f"key {event.position % 7}", n=event.position))


@style(is_batched=False)
def duplicate_key_that_is_caught(event: Event) -> None:
    try:
        with event.view.session(event.tracking) as session:
            session.add(Item(key=f"key {event.position % 7}", n=event.position))
    except IntegrityError as error:
        event.see(type(error).__name__)
        event.view.insert_tracking(event.tracking)


@style()
def core_beside_it(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(count(session, "key").n)
        session.execute(insert(Entry), [{"n": event.position}])
    with event.view.transaction() as connection:
        event.see(connection.scalar(select(ITEMS.c.n)))
        connection.execute(update(ITEMS).values(n=ITEMS.c.n * 2))


@style()
def upserts_beside_it(event: Event) -> None:
    row = {"key": "key", "n": 1}
    with event.view.processing(event.tracking) as connection:
        connection.execute(upsert(ITEMS, row, set_={"n": ITEMS.c.n + 1}))
        with event.view.session() as session:
            event.see(count(session, "key", 10).n)
            event.see(count(session, f"key {event.position}", 10).n)
        connection.execute(upsert(ITEMS, row, set_={"n": ITEMS.c.n + 100}))


@style()
def another_thread_beside_it(event: Event) -> None:
    with event.view.processing(event.tracking) as connection:
        with event.view.session() as session:
            event.see(count(session, "key").n)
        changed = update(ITEMS).values(n=ITEMS.c.n * 2)
        with ThreadPoolExecutor(1) as threads:
            threads.submit(connection.execute, changed).result()


@style()
def listeners_of_one_session(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        listen(session, "before_flush", lambda *_: event.see("flush"))
        count(session, f"key {event.position % 2}")


@style()
def position_as_an_object(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, f"key {event.position % 2}")
        key = event.view.name, event.tracking.application_name
        event.see(session.get_one(Position, key).notification_id)


@style()
def texts_beside_it(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(count(session, "key").n)
        session.flush()
        session.connection().exec_driver_sql("UPDATE items SET n = n * 2")
    with event.view.transaction() as connection:
        event.see(connection.scalar(text("SELECT sum(n) FROM items")))


@style()
def cursor_of_the_driver(event: Event) -> None:
    with event.view.processing(event.tracking) as connection:
        with event.view.session() as session:
            event.see(count(session, "key").n)
        cursor = connection.connection.cursor()
        cursor.execute("UPDATE items SET n = n * 2")
        cursor.close()


@style()
def deleted_by_core(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        event.see(count(session, "key").n)
    if event.position % 3 == 0:
        with event.view.transaction() as connection:
            connection.execute(delete(Item))


@style()
def bulk_statements(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, f"key {event.position % 3}")
        session.execute(update(Item).values(n=Item.n + 1))
        event.see(session.get_one(Item, f"key {event.position % 3}").n)
        if event.position % 4 == 0:
            session.execute(delete(Item).where(Item.key == "key 1"))


@style()
def session_of_its_own(event: Event) -> None:
    with event.view.processing(event.tracking) as connection:
        with event.view.session() as session:
            count(session, "key")
        with Session(connection) as session:
            event.see(count(session, "key").n)
            session.commit()
        with event.view.session() as session:
            event.see(count(session, "key").n)


@style()
def sessions_in_sessions(event: Event) -> None:
    with event.view.session(event.tracking) as outer:
        item = count(outer, "key")
        with event.view.session() as inner:
            event.see(count(inner, f"key {event.position % 2}").n)
            found = inner.get(Item, "key")
            event.see(found and found.n)
        event.see(item.n)
        outer.flush()
        with event.view.session() as inner:
            count(inner, "key", 100)
        event.see(item.n)


@style()
def objects_that_are_kept(event: Event) -> None:
    """Whoever keeps them, has to add them again."""
    with event.view.session(event.tracking) as session:
        item = event.kept.get("item")
        if item is None:
            item = event.kept["item"] = count(session, "key")
        else:
            session.add(item)
            item.n += 1
        event.see(item.n)


@style()
def object_that_core_has_overtaken(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = session.get(Item, "key") or count(session, "key")
        event.see(item.n, item.note)
        session.execute(update(ITEMS).values(note=f"note {event.position}"))
        item.n += 1


@style()
def object_that_another_session_has_overtaken(event: Event) -> None:
    with event.view.session(event.tracking) as outer:
        item = count(outer, "key")
        event.see(item.n, item.note)
        outer.flush()
        with event.view.session() as inner:
            inner.get_one(Item, "key").note = f"note {event.position}"
        item.n += 1


@style()
def object_that_another_event_has_overtaken(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        if event.position % 3 == 1:
            item = event.kept["item"] = count(session, "key")
            session.flush()
            event.see(item.n, item.note)
            session.expunge(item)
        elif event.position % 3 == 2:
            session.get_one(Item, "key").note = f"note {event.position}"
        else:
            session.add(event.kept["item"])
            event.kept["item"].n += 1


@style()
def objects_that_are_merged(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        merged = session.merge(Item(key=f"key {event.position % 2}", n=event.position))
        event.see(merged.note, merged.n)


@style()
def objects_that_are_changed_too_late(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = count(session, "key")
        event.see(item.n)
    item.n = 1000
    with suppress(SQLAlchemyError):
        event.see(item.note)
    event.see(item in session)


@style()
def versions(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Versioned, event.position % 2)
        if row is None:
            session.add(Versioned(id=event.position % 2, n=1))
        else:
            event.see(row.version)
            row.n += 1


@style()
def relationships(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        parent = session.get(Parent, event.position % 2)
        if parent is None:
            parent = Parent(id=event.position % 2, n=0)
            session.add(parent)
        parent.n += 1
        parent.children.append(Child(id=event.position, n=event.position))
        event.see(*(child.id for child in parent.children))
        if len(parent.children) > 3:
            del parent.children[0]
        child = session.get_one(Child, event.position)
        event.see(child.parent.n)


@style()
def foreign_keys(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        owner = session.get(Owner, event.position % 3)
        if owner is None:
            session.add(Owner(id=event.position % 3, n=1))
            session.flush()
        else:
            owner.n += 1
        session.add(Owned(id=event.position, owner_id=event.position % 3, n=1))
        before = session.get(Owned, event.position - 3)
        event.see(before and before.n)
        if before is not None:
            before.n += 1
        if owner is not None and event.position % 5 == 0:
            session.flush()
            session.delete(owner)


@style()
def cascade_to_another_table(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        if event.position == 1:
            session.add(CodedWhole(id=1, code="a"))
            session.flush()
            session.add(CodedPart(id=1, of="a"))
            return
        event.see(session.get_one(CodedPart, 1).of)
        session.get_one(CodedWhole, 1).code = f"a {event.position}"


@style()
def cascade_to_the_same_table(event: Event) -> None:
    """Some databases refuse it."""
    with event.view.session(event.tracking) as session:
        if event.position <= 2:
            of = "a 1" if event.position == 2 else None
            code = f"a {event.position}"
            session.add(Coded(id=3 - event.position, code=code, of=of))
            return
        referring = session.get_one(Coded, 1)
        event.see(referring.of)
        referring.code = f"c {event.position}"
        if event.position % 4 == 0:
            session.get_one(Coded, 2).code = f"b {event.position}"


@style()
def inheritance(event: Event) -> None:
    of_class = Dog if event.position % 2 else Animal
    with event.view.session(event.tracking) as session:
        found = session.get(Animal, event.position // 2)
        if found is None:
            session.add(of_class(id=event.position // 2, n=1, text="a"))
        else:
            found.n += 1
            event.see(type(found).__name__, found.text)


@style()
def keys_that_are_alike(event: Event) -> None:
    """To some databases, they are the same."""
    with event.view.session(event.tracking) as session:
        event.see(count(session, ("key", "KEY", "key ", "Key")[event.position % 4]).n)


@style()
def keys_that_are_alike_and_wait(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        half, is_second = divmod(event.position, 2)
        found = session.get(Item, f"KEY {half}" if is_second else f"key {half}")
        event.see(found and found.n)
        if not is_second:
            session.add(Item(key=f"key {half}", n=event.position))


@style()
def two_classes_of_a_table(event: Event) -> None:
    of_class: Any = Item if event.position % 3 else ItemAgain
    with event.view.session(event.tracking) as session:
        found = session.get(of_class, "key")
        if found is None:
            session.add(of_class(key="key", n=1))
        else:
            found.n += event.position
            event.see(found.n)
        before = session.get(ItemAgain, f"key {event.position - 1}")
        event.see(before and before.n)
        session.add(Item(key=f"key {event.position}", n=event.position))


@style()
def columns_that_are_not_mapped(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Partial, event.position % 5)
        if row is None:
            session.add(Partial(id=event.position % 5, n=1))
        else:
            row.n += 1


@style()
def variants_of_types(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Padded, event.position % 2)
        if row is None:
            session.add(Padded(id=event.position % 2, text=" "))
        else:
            event.see(row.text)
            row.text = f"{row.text[:8]}{event.position} "


@style()
def new_rows_that_changed_ones_refer_to(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        before = session.get(Linked, event.position - 1)
        session.add(Linked(id=event.position))
        if before is not None and event.position in {6, 11}:
            before.next_id = event.position


@style()
def keys_of_another_type(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        row = session.get(Owner, 1)
        if row is None:
            session.add(Owner(id=1, n=0))
        else:
            row.n += 1
        with suppress(SQLAlchemyError), session.begin_nested():
            found = session.get(Owner, True)
            event.see(found and found.n)


@style()
def numbers_that_are_too_large(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        item = session.get(Item, "key")
        if item is None:
            session.add(Item(key="key", n=1))
        else:
            event.see(item.n)
            item.n *= 100


@style()
def tracked_last(event: Event) -> None:
    with event.view.transaction() as connection:
        with event.view.session() as session:
            event.see(count(session, "key").n)
            connection_of_session: Connection = session.connection()
            event.see(connection_of_session is connection)
        event.view.insert_tracking(event.tracking)


@style()
def own_position(event: Event) -> None:
    with event.view.session(event.tracking) as session:
        count(session, f"key {event.position % 2}")
        event.see(event.view.max_tracking_id(event.tracking.application_name))
        found = text("SELECT max(notification_id) FROM es_tracking")
        event.see(session.scalar(found))
