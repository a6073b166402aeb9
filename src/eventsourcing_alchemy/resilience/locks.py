"""Locks that an interrupted thread does not keep."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


@contextmanager
def held(lock: Lock, timeout: float) -> Iterator[bool]:
    """Holds a lock for the time of the block.

    Args:
        lock: to acquire.
        timeout: seconds to wait for it at the most.

    Yields:
        Whether it is held: False if another thread did not release it in time.
    """
    acquired: list[bool] = []
    try:
        # An exception of a signal handler, or of another thread, is raised between two
        # steps of the interpreter. This is one step: the lock cannot be acquired
        # without a record of it.
        acquired.extend(map(lock.acquire, (True,), (timeout,)))
        yield acquired == [True]
    finally:
        if acquired == [True]:
            lock.release()
