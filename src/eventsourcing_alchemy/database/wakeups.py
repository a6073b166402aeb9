"""Wake-ups within a process: hints that a pull may find something new."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from os import register_at_fork
from queue import Empty, SimpleQueue
from threading import RLock

COMMITTED = "commit"
"""This process has recorded something."""

NOTIFIED = "notification"
"""The database has announced that somebody has."""

RESUMED = "resumption"
"""The database can be used again."""

TIMER = "timer"
"""There was no hint in time."""

STOPPED = "stop"
"""There is nothing more to wait for."""


class Waiter:
    """Lets one thread wait for hints; those that come together count as one.

    `wake()` may be called by any thread, by a signal handler and by the garbage
    collector, because `SimpleQueue.put()` is reentrant: a lock would not be.
    """

    def __init__(self) -> None:
        self._hints: SimpleQueue[str] = SimpleQueue()

    def wake(self, reason: str = COMMITTED) -> None:
        """Ends the current `wait()`, or the next one if there is none."""
        if self._hints.empty():
            self._hints.put(reason)

    def wait(self, timeout: float) -> str | None:
        """Waits for a hint.

        Args:
            timeout: seconds to wait at the most.

        Returns:
            The reason of the hint; None if there was no hint.
        """
        try:
            return self._hints.get(timeout=timeout)
        except Empty:
            return None


class Hints:
    """Who waits for hints about what. Losing a hint costs latency, nothing else."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drops all waiters (a forked child has none of its parent's threads)."""
        self._lock = RLock()
        self._waiters: dict[Hashable, set[Waiter]] = {}

    def add(self, topic: Hashable, waiter: Waiter) -> None:
        """From now on, `wake(topic)` wakes the waiter."""
        with self._lock:
            self._waiters[topic] = self._waiters.get(topic, set()) | {waiter}

    def discard(self, topic: Hashable, waiter: Waiter) -> None:
        """Undoes `add()`; does nothing where that was done already."""
        with self._lock:
            # In one step, because wake() does not wait for the lock.
            remaining = self._waiters.get(topic, set()) - {waiter}
            if remaining:
                self._waiters[topic] = remaining
            else:
                self._waiters.pop(topic, None)

    def are_awaited(self, topic: Hashable) -> bool:
        """Whether anybody waits for hints about a topic."""
        return topic in self._waiters

    @contextmanager
    def waiting(self, topic: Hashable) -> Iterator[Waiter]:
        """A waiter for the time of the block."""
        waiter = Waiter()
        self.add(topic, waiter)
        try:
            yield waiter
        finally:
            self.discard(topic, waiter)

    def wake(self, topic: Hashable, reason: str = COMMITTED) -> None:
        """Wakes everyone who waits for this topic.

        Args:
            topic: that there is something new about.
            reason: one of the constants of this module.
        """
        for waiter in self._waiters.get(topic, ()):
            waiter.wake(reason)


def events_topic(database: Hashable, application: str) -> Hashable:
    """Of the hints that an application has new events."""
    return database, "events", application


hints = Hints()
register_at_fork(after_in_child=hints.forget)
