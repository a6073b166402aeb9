"""Whether a subscription sees all events while many append."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from random import Random
from threading import Thread
from time import perf_counter

from eventsourcing.persistence import ApplicationRecorder, Subscription

from benchmarks.domain import Shop
from benchmarks.jobs import Job
from benchmarks.measurements.append import WRITERS
from benchmarks.workload import long_order, orders

BATCHES = (1, 1, 1, 10, 100)
"""Events in a transaction."""


class _Reader(Thread):
    """Counts what a subscription returns, up to the event that marks the end."""

    def __init__(self, subscription: Subscription[ApplicationRecorder]) -> None:
        super().__init__()
        self._subscription = subscription
        self.count = 0

    def run(self) -> None:
        """Ends with the subscription, or behind the mark."""
        for notification in self._subscription:
            if notification.originator_id == _END.originator_id:
                break
            self.count += 1


_END = next(long_order(0))


def missed(job: Job) -> Mapping[str, float]:
    """Events that a subscription has passed over."""
    shop = Shop(env=job.environment)
    write = partial(_write, shop.recorder, 5 * job.sizes.seconds)
    with shop.recorder.subscribe(gt=0) as subscription:
        reader = _Reader(subscription)
        reader.start()
        with ThreadPoolExecutor(WRITERS) as pool:
            stored = sum(pool.map(write, range(WRITERS)))
        shop.recorder.insert_events([_END])
        reader.join()
    return {"missed": stored - reader.count}


def _write(recorder: ApplicationRecorder, seconds: float, seed: int) -> int:
    """Appends large and small batches; returns how many events."""
    random, stream = Random(seed), orders(seed)  # noqa: S311
    deadline = perf_counter() + seconds
    count = 0
    while perf_counter() < deadline:
        events = list(islice(stream, random.choice(BATCHES)))
        recorder.insert_events(events)
        count += len(events)
    return count
