"""Steps that use the transaction of an event in a way of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import text, update
from sqlalchemy.exc import DatabaseError
from sqlalchemy.orm import Session, registry

from behaviour.differential.steps import count, step, sum_of
from behaviour.differential.tables import checked, counts, totals
from behaviour.differential.view import Act
from eventsourcing_alchemy import upsert

T = TypeVar("T")


@dataclass
class Total:
    key: str
    n: int


registry().map_imperatively(Total, totals)


@step()
def savepoint(act: Act) -> None:
    count(act, counts)
    nested = act.connection.begin_nested()
    count(act, counts)
    count(act, totals)
    if act.position % 3:
        nested.commit()
    else:
        nested.rollback()
    count(act, counts)


@step()
def savepoint_in_savepoint(act: Act) -> None:
    with act.connection.begin_nested():
        count(act, counts)
        with act.connection.begin_nested() as inner:
            count(act, counts)
            if act.position % 2:
                inner.rollback()
        count(act, totals)


@step(is_batched=False)
def violation_in_a_savepoint(act: Act) -> None:
    row = {"key": act.key, "n": act.position % 5}
    try:
        with act.connection.begin_nested():
            count(act, counts)
            act.connection.execute(upsert(checked, row))
    except DatabaseError as error:
        act.note(type(error).__name__)
    count(act, totals)


@step()
def orm_session(act: Act) -> None:
    count(act, totals)
    with (
        Session(act.connection, join_transaction_mode="create_savepoint") as session,
        session.begin(),
    ):
        total = session.get_one(Total, act.key)
        act.note(total.n)
        total.n = (total.n * 2) % 9973
        session.merge(Total(key=f"{act.key}{act.position % 3}", n=act.position))
    count(act, totals)


@step()
def driver_s_statement(act: Act) -> None:
    count(act, counts)
    act.connection.exec_driver_sql("UPDATE counts SET n = n + 7 WHERE n < 1000")
    count(act, counts)


@step()
def savepoint_by_sql(act: Act) -> None:
    count(act, counts)
    act.connection.exec_driver_sql("SAVEPOINT ours")
    count(act, counts)
    count(act, totals)
    if act.position % 2:
        act.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT ours")
    act.connection.exec_driver_sql("RELEASE SAVEPOINT ours")
    count(act, counts)


@step(is_batched=False)
def violation_that_is_caught(act: Act) -> None:
    count(act, counts)
    row = {"key": act.key, "n": act.position % 5}
    try:
        act.execute(upsert(checked, row))
    except DatabaseError as error:
        act.note(type(error).__name__)
    count(act, counts)


@step(is_batched=False)
def violation(act: Act) -> None:
    count(act, counts)
    act.execute(upsert(checked, {"key": act.key, "n": act.position % 5}))
    count(act, counts)


@step()
def textual_statement(act: Act) -> None:
    count(act, counts)
    act.note(act.execute(text("SELECT sum(n) FROM counts")).scalar())


@step()
def raw_cursor(act: Act) -> None:
    count(act, counts)
    cursor = act.connection.connection.cursor()
    cursor.execute("SELECT sum(n) FROM counts")
    act.note(*map(int, cursor.fetchone() or ()))
    cursor.execute("UPDATE counts SET n = n + 5 WHERE n < 1000")
    cursor.close()
    count(act, counts)


@step()
def nested_block(act: Act) -> None:
    count(act, counts)
    with act.view.transaction() as connection:
        connection.execute(update(counts).values(n=(counts.c.n * 3) % 9973))
    count(act, counts)


def in_a_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@step()
def reading_thread(act: Act) -> None:
    count(act, counts)
    act.note(in_a_thread(lambda: act.connection.scalar(sum_of(counts))))
    count(act, totals)


@step()
def writing_thread(act: Act) -> None:
    count(act, counts)
    in_a_thread(lambda: count(act, counts, by=act.position))
    act.execute(update(counts).values(n=(counts.c.n * 3) % 9973))
    in_a_thread(lambda: count(act, totals))


@step()
def copied_context(act: Act) -> None:
    count(act, counts)
    copy_context().run(count, act, counts, by=3)
    act.note(copy_context().run(act.connection.scalar, sum_of(counts)))
