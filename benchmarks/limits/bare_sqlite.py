"""The limit for appending to SQLite: its driver, with the very SQL that we send."""

from collections.abc import Mapping, Sequence
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


def append(job: Job, *, batch: int) -> Mapping[str, float]:
    """Appends, as the measurement of the contestants does.

    Args:
        job: says where.
        batch: events in a transaction.
    """
    shop = recording_shop(job)
    shop.recorder.insert_events([next(long_order(0))])
    with recorded() as sent:
        shop.recorder.insert_events(list(islice(long_order(1), batch)))
    connection = connect(job)
    connection.execute("PRAGMA synchronous=FULL").close()
    stream = batches(orders(0), batch)
    for _ in range(WARM_UP):
        _replay(connection, sent, next(stream))
    count, seconds = 0, 0.0
    while seconds < job.sizes.seconds:
        events = next(stream)
        begun = perf_counter()
        _replay(connection, sent, events)
        seconds += perf_counter() - begun
        count += batch
    connection.close()
    return {"rate": count / seconds}


append_1 = partial(append, batch=1)
append_100 = partial(append, batch=100)


def _replay(
    connection: Any, sent: Sequence[Sent], events: Sequence[StoredEvent]
) -> None:
    """The same statements, with other events under the next positions."""
    answers: list[Any] = []
    for each in sent:
        if str(each.sql).startswith("INSERT"):
            application_id, last, *time = answers[0]
            positions = range(last - len(events) + 1, last + 1)
            rows = [
                (
                    application_id,
                    position,
                    cast("UUID", event.originator_id).bytes,
                    event.originator_version,
                    event.topic,
                    event.state,
                    *time,
                )
                for position, event in zip(positions, events, strict=True)
            ]
            connection.executemany(each.sql, rows)
        else:
            answers += connection.execute(each.sql, each.parameters).fetchall()
