"""Bare cursors that fetch the same rows by the same SQL, and make nothing of them."""

from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

from benchmarks.bare import connect
from benchmarks.jobs import Job
from benchmarks.limits.recording import Sent, recorded, recording_shop
from benchmarks.measurements.reading import PAGE, rate
from benchmarks.workload import LONG, long_order_id


def load_aggregate(job: Job) -> Mapping[str, float]:
    """What `select_events()` sends."""
    shop = recording_shop(job)
    shop.recorder.select_events(long_order_id(0))
    with recorded() as sent:
        for number in range(min(job.sizes.aggregates, 50)):
            shop.recorder.select_events(long_order_id(number))
    return {"rate": _replayed(job, sent) / LONG}


def select_notifications(job: Job) -> Mapping[str, float]:
    """What `select_notifications()` sends."""
    shop = recording_shop(job)
    last = shop.recorder.max_notification_id() or 0
    with recorded() as sent:
        for start in range(1, last + 1, PAGE):
            shop.recorder.select_notifications(start, PAGE)
    return {"rate": _replayed(job, sent)}


def catch_up(job: Job) -> Mapping[str, float]:
    """What a subscription sends."""
    shop = recording_shop(job)
    last = shop.recorder.max_notification_id() or 0
    with shop.recorder.subscribe(gt=0) as subscription, recorded() as sent:
        for _ in islice(subscription, last):
            pass
    return {"rate": _replayed(job, sent)}


def _replayed(job: Job, sent: list[Sent]) -> float:
    """Rows in a second."""
    connection = connect(job)
    fetch = _fetch_psycopg if job.database == "postgresql" else _fetch_sqlite3
    again = cycle([each for each in sent if "es_events" in str(each.sql)])
    return rate(lambda: fetch(connection, next(again)), job.sizes.seconds)


def _fetch_psycopg(connection: Any, sent: Sent) -> int:
    cursor = connection.cursor(binary=sent.binary)
    cursor.execute(sent.sql, sent.parameters, prepare=True)
    return len(cursor.fetchall())


def _fetch_sqlite3(connection: Any, sent: Sent) -> int:
    return len(connection.execute(sent.sql, sent.parameters).fetchall())
