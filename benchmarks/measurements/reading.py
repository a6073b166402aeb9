"""Reading, through the recorder of an application whose log was filled before."""

from collections.abc import Callable, Mapping
from itertools import chain, cycle, islice
from time import perf_counter
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import ApplicationRecorder

from benchmarks.domain import Shop
from benchmarks.jobs import Job
from benchmarks.workload import LONG, fill, long_order, long_order_id, orders

PAGE = 500
"""Notifications that are selected at once."""


def fill_log(job: Job) -> Mapping[str, float]:
    """Fills the log that is read."""
    shop = Shop(env=job.environment)
    long_orders = chain.from_iterable(map(long_order, range(job.sizes.aggregates)))
    events = chain(long_orders, islice(orders(0), job.sizes.log))
    fill(shop, events)
    return {}


def load_aggregate(job: Job) -> Mapping[str, float]:
    """All events of an aggregate, again and again of another one."""
    shop = Shop(env=job.environment)
    numbers = cycle(range(job.sizes.aggregates))

    def load() -> int:
        return len(shop.recorder.select_events(long_order_id(next(numbers))))

    return {"rate": rate(load, job.sizes.seconds) / LONG}


def select_notifications(job: Job) -> Mapping[str, float]:
    """Page by page, from the beginning again after the end."""
    shop = Shop(env=job.environment)
    last = shop.recorder.max_notification_id() or 0
    starts = cycle(range(1, last + 1, PAGE))

    def select() -> int:
        return len(shop.recorder.select_notifications(next(starts), PAGE))

    return {"rate": rate(select, job.sizes.seconds)}


def catch_up(
    job: Job, application: type[Application[UUID]] = Shop
) -> Mapping[str, float]:
    """A subscription, from the beginning to the end."""
    shop = application(env=job.environment)
    length = shop.recorder.max_notification_id() or 0
    _follow(shop.recorder, PAGE)
    count, seconds = 0, 0.0
    while seconds < job.sizes.seconds:
        seconds += _follow(shop.recorder, length)
        count += length
    return {"rate": count / seconds}


def _follow(recorder: ApplicationRecorder, length: int) -> float:
    """Seconds from subscribing to the last notification."""
    begun = perf_counter()
    with recorder.subscribe(gt=0) as subscription:
        for notification in subscription:
            if notification.id >= length:
                return perf_counter() - begun
    msg = "The subscription has ended"
    raise RuntimeError(msg)


def rate(read: Callable[[], int], seconds: float) -> float:
    """How much is read in a second.

    Args:
        read: reads something, and returns how much.
        seconds: for which to go on.
    """
    for _ in range(20):
        read()
    count = 0
    begun = perf_counter()
    while perf_counter() < begun + seconds:
        count += read()
    return count / (perf_counter() - begun)
