"""Steps that write, each in another way."""

from __future__ import annotations

from typing import Any
from uuid import NAMESPACE_OID, uuid5

from eventsourcing.persistence import StoredEvent
from sqlalchemy import Table, delete, func, insert, literal, select, update

from backends import Capability
from behaviour.differential import tables
from behaviour.differential.steps import count, declared_fold, step, sum_of
from behaviour.differential.tables import (
    children,
    counts,
    observing,
    pairs,
    parents,
    totals,
)
from behaviour.differential.view import Act
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, upsert


def fold(act: Act, table: Table, number: Any) -> Any:
    """A number that depends on all that was folded before, in their order."""
    row = {"key": act.key, "n": act.position}
    return act.execute(upsert(table, row, set_={"n": (table.c.n * 3 + number) % 9973}))


@step()
def count_in_one_table(act: Act) -> None:
    count(act, counts)


@step()
def count_three(act: Act) -> None:
    for each in range(3):
        count(act, counts, f"{act.key}{each}", each)


@step()
def count_in_two_tables(act: Act) -> None:
    count(act, counts)
    count(act, totals)
    count(act, counts)


@step()
def fold_in_alternating_tables(act: Act) -> None:
    fold(act, counts if act.position % 2 else totals, act.position)


@step()
def fold_in_a_table_declared_twice(act: Act) -> None:
    fold(act, counts if act.position % 2 else tables.others, act.position)


@step(Capability.SCHEMAS)
def fold_in_another_schema(act: Act) -> None:
    fold(act, tables.elsewhere, act.position)
    act.note(act.execute(sum_of(tables.elsewhere)).scalar())


@step()
def fold_what_another_table_has(act: Act) -> None:
    count(act, counts)
    fold(act, totals, func.coalesce(sum_of(counts).scalar_subquery(), 0))


@step()
def fold_the_position(act: Act) -> None:
    fold(act, totals, func.coalesce(tables.position.scalar_subquery(), 0))


@step()
def fold_by_parameters(act: Act) -> None:
    for each in (counts, totals) if act.position % 2 else (totals, totals):
        act.execute(declared_fold(each), {"key": act.key, "by": act.position})


@step()
def fold_by_sets_of_parameters(act: Act) -> None:
    keys = act.key, f"{act.key}!", act.key
    rows = [{"key": key, "by": act.position + n} for n, key in enumerate(keys)]
    act.execute(declared_fold(counts), rows[: 1 + act.position % 3])
    fold(act, counts, act.position)


@step()
def fold_by_parameters_where_a_trigger_observes(act: Act) -> None:
    rows = [{"key": f"{act.key}{n}", "by": n} for n in range(2)]
    act.execute(declared_fold(observing), rows)


@step()
def put(act: Act) -> None:
    act.execute(upsert(counts, {"key": act.key, "n": act.position}))


@step()
def put_by_two_keys(act: Act) -> None:
    row = {"left": act.position % 3, "right": act.key, "n": 1}
    more = pairs.c.n + pairs.c.left + act.position
    act.execute(upsert(pairs, row, set_={"n": more}))


@step()
def insert_and_update(act: Act) -> None:
    key = f"{act.key}{act.position}"
    act.execute(insert(totals).values(key=key, n=act.position))
    there = totals.c.key == key
    changed = update(totals).where(there).values(n=totals.c.n * 2)
    act.note(act.execute(changed).rowcount)


@step()
def insert_many(act: Act) -> None:
    count(act, counts)
    rows = [{"key": f"{act.key}{act.position} {n}", "n": n} for n in range(3)]
    act.execute(insert(totals), rows)


@step()
def update_all(act: Act) -> None:
    count(act, counts)
    act.execute(update(counts).values(n=(counts.c.n * 3 + 1) % 9973))


@step()
def delete_between(act: Act) -> None:
    count(act, counts)
    gone = act.execute(delete(counts).where(counts.c.key == act.key))
    act.note(gone.rowcount)
    count(act, counts)


@step()
def insert_from_select(act: Act) -> None:
    count(act, counts)
    place = literal(-act.position)
    rows = select(place, literal(act.key + "/").concat(counts.c.key), counts.c.n)
    there = pairs.c.left == -act.position, pairs.c.right.startswith(act.key + "/")
    act.execute(delete(pairs).where(*there))
    names = ["left", "right", "n"]
    act.note(act.execute(insert(pairs).from_select(names, rows)).rowcount)


@step()
def change_a_key(act: Act) -> None:
    key = f"{act.key}{act.position % 3}"
    other = f"{act.key}{(act.position + 1) % 3}*"
    act.execute(delete(totals).where(totals.c.key == other))
    act.execute(upsert(totals, {"key": key, "n": act.position}, set_={"key": other}))


@step()
def write_parents_and_children(act: Act) -> None:
    parent = f"{act.key}{act.position % 3}"
    count(act, parents, parent)
    row = {"key": f"{act.key}{act.position}", "parent": parent, "n": act.position}
    act.execute(upsert(children, row))
    if act.position % 4 == 0:
        act.execute(delete(parents).where(parents.c.key == parent))


@step()
def change_a_parent_s_key(act: Act) -> None:
    row = {"key": act.key, "n": act.position}
    count(act, parents, act.key)
    act.execute(upsert(children, {**row, "parent": act.key}))
    other = f"{act.key}{act.position}"
    act.execute(upsert(parents, row, set_={"key": other}))
    fold(act, counts, func.coalesce(sum_of(children).scalar_subquery(), 0))


@step()
def write_with_options(act: Act) -> None:
    statement = upsert(counts, {"key": act.key, "n": 1}, set_={"n": counts.c.n + 1})
    act.execute(statement, execution_options={"an_option": act.position})
    count(act, counts)


@step()
def append_events(act: Act) -> None:
    recorder = SQLAlchemyApplicationRecorder(act.view.datastore, name=tables.LOG)
    originator_id = uuid5(NAMESPACE_OID, f"{act.key} {act.position}")
    version = len(list(recorder.select_events(originator_id))) + 1
    stored = [StoredEvent(originator_id, version, tables.LOG, b"")]
    act.note(recorder.insert_events(stored), recorder.max_notification_id())


@step()
def be_observed_by_a_trigger(act: Act) -> None:
    count(act, counts)
    count(act, observing, f"{act.key}{act.position % 4}")


@step()
def be_observed_by_a_trigger_alone(act: Act) -> None:
    count(act, observing)
