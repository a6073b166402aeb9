"""Wake-ups within a process: hints that a pull may find something new."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from os import register_at_fork
from queue import Empty, SimpleQueue
from threading import RLock


class Waiter:
    """Lets one thread wait for hints; those that come together count as one.

    `wake()` may be called by any thread, by a signal handler and by the garbage
    collector, because `SimpleQueue.put()` is reentrant: a lock would not be.
    """

    def __init__(self) -> None:
        self._hints: SimpleQueue[None] = SimpleQueue()

    def wake(self) -> None:
        """Ends the current `wait()`, or the next one if there is none."""
        if self._hints.empty():
            self._hints.put(None)

    def wait(self, timeout: float) -> bool:
        """Waits for a hint.

        Args:
            timeout: seconds to wait at the most.

        Returns:
            Whether there was a hint.
        """
        try:
            self._hints.get(timeout=timeout)
        except Empty:
            return False
        return True


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

    @contextmanager
    def waiting(self, topic: Hashable) -> Iterator[Waiter]:
        """A waiter for the time of the block."""
        waiter = Waiter()
        self.add(topic, waiter)
        try:
            yield waiter
        finally:
            self.discard(topic, waiter)

    def wake(self, topic: Hashable) -> None:
        """Wakes everyone who waits for this topic."""
        for waiter in self._waiters.get(topic, ()):
            waiter.wake()


hints = Hints()
register_at_fork(after_in_child=hints.forget)
