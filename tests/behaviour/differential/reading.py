"""Steps that read, results as well."""

from __future__ import annotations

from eventsourcing.persistence import IntegrityError, Tracking
from sqlalchemy import select

from behaviour.differential import tables
from behaviour.differential.steps import count, step, sum_of
from behaviour.differential.tables import counts, observing, totals
from behaviour.differential.view import Act


@step()
def read(act: Act) -> None:
    count(act, counts)
    rows = act.execute(select(counts).order_by(counts.c.key)).all()
    act.note(*map(tuple, rows))


@step()
def read_in_a_block(act: Act) -> None:
    count(act, counts)
    with act.view.reading() as connection:
        act.note(connection.scalar(sum_of(counts)))


@step()
def read_row_by_row_while_writing(act: Act) -> None:
    count(act, counts, "a")
    count(act, counts, "b")
    found = act.execute(select(counts.c.key).order_by(counts.c.key))
    for (key,) in found:
        count(act, totals, key)
        act.note(key)


@step()
def read_a_stream(act: Act) -> None:
    for each in range(5):
        count(act, counts, f"{act.key}{each}")
    query = select(counts.c.key).order_by(counts.c.key)
    for key in act.execute(query.execution_options(yield_per=2)).scalars():
        act.note(key)
    count(act, counts)


@step()
def state_of_the_connection(act: Act) -> None:
    connection = act.connection
    act.note(connection.in_transaction(), connection.in_nested_transaction())
    act.note(connection.closed, connection.invalidated)


@step()
def other_positions(act: Act) -> None:
    act.note(act.view.max_tracking_id("Another"))
    act.view.insert_tracking(Tracking("Another", act.position))
    act.note(act.view.max_tracking_id("Another"))


@step()
def position_that_is_taken(act: Act) -> None:
    count(act, counts)
    try:
        with act.connection.begin_nested():
            count(act, totals)
            act.view.insert_tracking(act.tracking)
    except IntegrityError as error:
        act.note(str(error))


@step()
def read_what_a_trigger_saw(act: Act) -> None:
    count(act, observing)
    there = observing.c.key == act.key
    act.note(*act.execute(select(observing).where(there)).one())


@step()
def early_result(act: Act) -> None:
    act.note(count(act, counts).rowcount)
    count(act, totals)


@step()
def late_result(act: Act) -> None:
    first = count(act, counts)
    count(act, totals)
    act.note(first.rowcount)


@step()
def late_results_of_one_statement(act: Act) -> None:
    results = [count(act, counts, f"{act.key}{each}") for each in range(3)]
    act.note(*[result.rowcount for result in results])


@step()
def closed_result(act: Act) -> None:
    result = count(act, counts)
    act.note(result.returns_rows)
    result.close()


@step()
def own_position(act: Act) -> None:
    name = act.tracking.application_name
    act.note(act.view.max_tracking_id(name))
    act.note(act.view.has_tracking_id(name, act.position))
    act.note(act.view.has_tracking_id(name, act.position + 1))


@step()
def position_in_the_table(act: Act) -> None:
    count(act, counts)
    act.note(act.execute(tables.position).scalar())
