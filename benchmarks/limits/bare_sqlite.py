"""The limit for appending to SQLite: its driver, with the very SQL that we send."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from time import perf_counter
from typing import Any, cast
from uuid import UUID

from eventsourcing.persistence import StoredEvent

from benchmarks.bare import connect
from benchmarks.jobs import Job
from benchmarks.limits.recording import Sent, recorded, recording_shop
from benchmarks.measurements.append import WARM_UP
from benchmarks.workload import batches, long_order, orders

_COLUMNS = re.compile(r"\(([^)]*)\)")


def append(job: Job, *, batch: int) -> Mapping[str, float]:
    """Appends, as the measurement of the contestants does.

    Args:
        job: says where.
        batch: events in a transaction.
    """
    shop = recording_shop(job)
    # By their size, positions can be told from other numbers.
    shop.recorder.insert_events(list(islice(orders(1), 1_000)))
    shop.recorder.insert_events([next(long_order(0))])
    with recorded() as sent:
        shop.recorder.insert_events(list(islice(long_order(1), batch)))
    connection = connect(job)
    connection.execute("PRAGMA synchronous=FULL").close()
    appends = enumerate(batches(orders(0), batch), 1)
    for _ in range(WARM_UP):
        _replay(connection, sent, *next(appends))
    count, seconds = 0, 0.0
    while seconds < job.sizes.seconds:
        number, events = next(appends)
        begun = perf_counter()
        _replay(connection, sent, number, events)
        seconds += perf_counter() - begun
        count += batch
    connection.close()
    return {"rate": count / seconds}


append_1 = partial(append, batch=1)
append_100 = partial(append, batch=100)


def _replay(
    connection: Any, sent: Sequence[Sent], number: int, events: Sequence[StoredEvent]
) -> None:
    """The same statements, with other events under later positions."""
    shift, rest = number * len(events), iter(events)
    for sql, given, _ in sent:
        if not str(sql).startswith("INSERT"):
            moved = [each + shift if _is_position(each) else each for each in given]
            connection.execute(sql, moved).fetchall()
        elif isinstance(given, list):
            connection.executemany(sql, [_moved(row, shift, rest) for row in given])
        else:
            width = _COLUMNS.search(sql)[1].count(",") + 1  # type: ignore[index]
            rows = [_moved(row, shift, rest) for row in _rows(given, width)]
            connection.execute(sql, [value for row in rows for value in row])


def _rows(values: Sequence[Any], width: int) -> list[Sequence[Any]]:
    return [values[each : each + width] for each in range(0, len(values), width)]


def _is_position(value: object) -> bool:
    return isinstance(value, int) and value >= 1_000


def _moved(row: Sequence[Any], shift: int, events: Iterator[StoredEvent]) -> list[Any]:
    event = next(events)
    application_id, position, _, _, _, _, *time = row
    return [
        application_id,
        position + shift,
        cast("UUID", event.originator_id).bytes,
        event.originator_version,
        event.topic,
        event.state,
        *time,
    ]
