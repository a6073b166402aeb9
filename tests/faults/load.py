"""Writers, a subscription and a runner, at work while there are faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from time import monotonic
from typing import Any
from uuid import UUID

from eventsourcing.persistence import Subscription

from faults.chain import Links, Runner, check, running
from faults.report import recovered
from faults.waiting import wait_until

WRITERS = 3

LEASE_DURATION = 1.0

PAUSE = 0.005
"""Seconds between two appends of a writer: the others have to keep up."""


class Load:
    """Work that goes on by itself: any error that it meets fails the test.

    Args:
        links: the application.
        subscription: follows it, from the beginning.
        runner: processes its events.

    Attributes:
        acknowledged: what the writers were told: events, and their positions.
        seen: the positions that the subscription has given.
    """

    def __init__(
        self, links: Links, subscription: Subscription[Any], runner: Runner
    ) -> None:
        self.acknowledged: dict[UUID, int] = {}
        self.seen: list[int] = []
        self._links = links
        self._subscription = subscription
        self._runner = runner
        self._is_over = Event()
        self._writers: list[Future[None]] = []
        self._follower: Future[None]

    def begin(self, threads: ThreadPoolExecutor) -> None:
        """Begin, and wait until all are at work."""
        self._writers = [threads.submit(self._write) for _ in range(WRITERS)]
        self._follower = threads.submit(self._follow)
        for _ in self._moves():
            pass

    def goes_on(self, kind: str) -> None:
        """Wait until each has done something new, and note how long that took."""
        start = monotonic()
        for name in self._moves():
            recovered(f"{kind} ({name})", monotonic() - start)

    def finish(self) -> None:
        """Let the writers end, and the others see what they wrote."""
        self._is_over.set()
        for writer in self._writers:
            writer.result(30)
        last = max(self.acknowledged.values())
        wait_until(
            lambda: self._follower.done() or len(self.seen) >= last,
            f"the subscription does not get to {last}",
        )
        self._subscription.stop()
        self._follower.result(30)
        self._runner.wait(last, timeout=60)
        assert self.seen == list(range(1, last + 1))

    def abandon(self) -> None:
        """End it, whatever the state."""
        self._is_over.set()
        self._subscription.stop()

    def _write(self) -> None:
        count = 1
        while not self._is_over.wait(PAUSE):
            self.acknowledged.update(self._links.add(count))
            count = 3 - count

    def _follow(self) -> None:
        for notification in self._subscription:
            self.seen.append(notification.id)

    def _moves(self) -> Iterator[str]:
        counts: dict[str, Callable[[], int]] = {
            "writers": lambda: len(self.acknowledged),
            "subscription": lambda: len(self.seen),
            "runner": lambda: self._runner.view.max_tracking_id(Links.name) or 0,
        }
        before = {name: count() for name, count in counts.items()}
        moved: set[str] = set()

        def has_moved() -> list[str]:
            self._raise_errors()
            return [
                name for name in set(before) - moved if counts[name]() > before[name]
            ]

        while moved < set(before):
            still = ", ".join(set(before) - moved)
            wait_until(has_moved, f"{still}: nothing new", patience=30)
            for name in has_moved():
                moved.add(name)
                yield name

    def _raise_errors(self) -> None:
        for future in (*self._writers, self._follower):
            if future.done():
                future.result()


@contextmanager
def under_load(env: Mapping[str, str]) -> Iterator[Load]:
    """Work for the time of the block. Nothing of it may be lost, or done twice."""
    with ExitStack() as stack:
        links = stack.enter_context(Links(dict(env)))
        runner = stack.enter_context(running(env, lease_duration=LEASE_DURATION))
        subscription = stack.enter_context(links.recorder.subscribe())
        threads = stack.enter_context(ThreadPoolExecutor(WRITERS + 1))
        load = Load(links, subscription, runner)
        stack.callback(load.abandon)
        load.begin(threads)
        yield load
        load.finish()
    check(env, load.acknowledged)
