"""Following a topic that one event in 10,000 has."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from threading import get_ident
from time import perf_counter, sleep
from typing import Any

from eventsourcing.persistence import Notification, StoredEvent

from benchmarks.domain import Shop
from benchmarks.scale.counting import Statements, statements
from benchmarks.scale.domain import RARE, RARITY, long_orders, rare_event
from benchmarks.scale.findings import Figure, Findings
from benchmarks.workload import batches, orders

PART = "sparse"
TRANSACTION = 10
"""Events of each append that the subscription has no interest in."""

PAUSES = (0.0, 0.005)
"""Seconds between appends: as fast as possible, and at a usual pace."""

ROUNDS = 3


def measure(kind: str, environment: dict[str, str], events: int) -> Findings:
    """Catches up, and follows.

    Args:
        kind: of the database, which has the log.
        environment: variables of the application.
        events: number of events in the log.
    """
    shop = Shop(env=environment)
    recorder: Any = shop.recorder
    found = Findings()

    def add(name: str, value: float, unit: str) -> None:
        found.figures.append(Figure(PART, kind, name, value, unit))

    add("catch-up, time", 1000 * _catch_up(recorder, long_orders(events)), "ms")
    with statements(recorder.datastore.engine) as seen:
        _catch_up(recorder, long_orders(events))
    add("catch-up, statements", len(seen.executed), "")
    add("catch-up, longest statement", 1000 * seen.longest, "ms")
    latencies = []
    for pause in PAUSES:
        for number in range(ROUNDS):
            live = _Live(recorder)
            live.run(pause, seed=2 + number + ROUNDS * PAUSES.index(pause))
            latencies.append(live.latency)
        pace = live.appends / live.seconds
        title = f"live, {pace:,.0f} appends/s that do not match"
        add(f"{title}, statements", len(live.seen.executed) / live.seconds, "1/s")
        add(f"{title}, longest statement", 1000 * live.seen.longest, "ms")
    add(f"live, latency after {RARITY:,} others, longest", 1000 * max(latencies), "ms")
    return found


def _catch_up(recorder: Any, expected: int) -> float:
    """Seconds."""
    begun = perf_counter()
    last = recorder.max_notification_id()
    count = 0
    with recorder.subscribe(topics=[RARE]) as subscription:
        while subscription.position < last:
            count += subscription.look() is not None
    assert count >= expected, count  # noqa: S101
    return perf_counter() - begun


class _Live:
    """A subscription that waits while others append."""

    latency = 0.0
    seconds = 0.0
    appends = 0

    def __init__(self, recorder: Any) -> None:
        self._recorder = recorder
        self.seen = Statements()

    def run(self, pause: float, seed: int) -> None:
        """Appends what does not match, then what does."""
        last = self._recorder.max_notification_id()
        others = batches(islice(orders(seed), RARITY), TRANSACTION)
        with (
            self._recorder.subscribe(gt=last, topics=[RARE]) as subscription,
            statements(self._recorder.datastore.engine) as self.seen,
            ThreadPoolExecutor(1) as threads,
        ):
            self.seen.thread = threads.submit(get_ident).result()
            following = threads.submit(partial(_next, subscription))
            self._append(others, pause)
            begun = perf_counter()
            self._recorder.insert_events([rare_event()])
            self.latency = following.result(timeout=60)[1] - begun

    def _append(self, others: Any, pause: float) -> None:
        begun = perf_counter()
        batch: list[StoredEvent]
        for batch in others:
            self._recorder.insert_events(batch)
            self.appends += 1
            if pause:
                sleep(pause)
        self.seconds = perf_counter() - begun


def _next(subscription: Any) -> tuple[Notification, float]:
    return next(subscription), perf_counter()
