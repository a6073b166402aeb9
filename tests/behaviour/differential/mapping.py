"""Steps that use ORM sessions of the view's own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, registry

from behaviour.differential.steps import count, step
from behaviour.differential.tables import checked, counts, filled, observing, totals
from behaviour.differential.view import Act
from behaviour.workers import DeliberateError


@dataclass
class Count:
    key: str
    n: int


class Observed(Count):
    """A row whose trigger sees other tables."""


class Checked(Count):
    """A row that must not have some numbers."""


class Filled(Count):
    """A row that Python and the database fill in."""


mapped = registry()
mapped.map_imperatively(Count, counts)
mapped.map_imperatively(Observed, observing, concrete=True)
mapped.map_imperatively(Checked, checked, concrete=True)
mapped.map_imperatively(Filled, filled, concrete=True)


def fold(session: Session, of_class: type[Count], key: str, number: int) -> int:
    """A number that depends on all that was folded before, in their order."""
    row = session.get(of_class, key)
    if row is None:
        row = of_class(key, 0)
        session.add(row)
    row.n = (row.n * 3 + number) % 9973
    return row.n


@step()
def map_one(act: Act) -> None:
    with act.view.session() as session:
        act.note(fold(session, Count, act.key, act.position))


@step()
def map_three(act: Act) -> None:
    with act.view.session() as session:
        for each in range(3):
            fold(session, Count, f"{act.key}{each}", act.position)


@step()
def map_a_new_one(act: Act) -> None:
    with act.view.session() as session:
        session.add(Count(f"{act.key}{act.position} mapped", act.position))
    with act.view.session() as session:
        act.note(session.get_one(Count, f"{act.key}{act.position} mapped").n)


@step()
def map_what_an_upsert_has_written(act: Act) -> None:
    count(act, counts)
    with act.view.session() as session:
        act.note(fold(session, Count, act.key, act.position))
    count(act, counts)


@step()
def map_and_query(act: Act) -> None:
    with act.view.session() as session:
        fold(session, Count, act.key, act.position)
        rows = session.execute(select(counts).order_by(counts.c.key))
        act.note(*map(tuple, rows))


@step()
def map_and_update(act: Act) -> None:
    with act.view.session() as session:
        fold(session, Count, act.key, act.position)
        session.execute(update(Count).values(n=(counts.c.n * 3 + 1) % 9973))
        act.note(fold(session, Count, act.key, 1))


@step()
def map_and_delete(act: Act) -> None:
    with act.view.session() as session:
        row: Any = session.get(Count, act.key)
        act.note(row and row.n)
        if row is not None and act.position % 2:
            session.delete(row)


@step()
def map_in_a_savepoint(act: Act) -> None:
    with act.view.session() as session:
        with suppress(DeliberateError), session.begin_nested():
            fold(session, Count, act.key, act.position)
            if act.position % 3:
                raise DeliberateError
        act.note(fold(session, Count, act.key, 1))


@step()
def map_around_a_savepoint(act: Act) -> None:
    with act.connection.begin_nested() as savepoint:
        with act.view.session() as session:
            fold(session, Count, act.key, act.position)
        if act.position % 2:
            savepoint.rollback()
    with act.view.session() as session:
        act.note(fold(session, Count, act.key, 1))


@step()
def map_with_a_trigger(act: Act) -> None:
    count(act, totals)
    with act.view.session() as session:
        fold(session, Observed, act.key, act.position)
    there = observing.c.key == act.key
    act.note(*act.execute(select(observing).where(there)).one())


@step()
def map_what_is_filled_in(act: Act) -> None:
    with act.view.session() as session:
        row: Any = session.get(Filled, act.key)
        if row is None:
            session.add(Filled(act.key, act.position))
        else:
            act.note(row.n, row.constant, row.updated, row.called, row.of_server)
            row.n += 1


@step(is_batched=False)
def map_a_violation(act: Act) -> None:
    with act.view.session() as session:
        row = session.get(Checked, act.key) or Checked(act.key, 0)
        session.add(row)
        row.n = act.position % 5


@step(is_batched=False)
def map_a_violation_in_a_savepoint(act: Act) -> None:
    with act.view.session() as session:
        try:
            with session.begin_nested():
                session.merge(Checked(act.key, act.position % 5))
        except DatabaseError as error:
            act.note(type(error).__name__)
        act.note(fold(session, Count, act.key, 1))


@step(is_batched=False)
def map_and_roll_back(act: Act) -> None:
    with act.view.session() as session:
        fold(session, Count, act.key, act.position)
        if act.position % 2:
            session.rollback()
