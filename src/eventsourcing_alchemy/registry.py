"""Objects that are shared within a process, and closed with their last user."""

from collections.abc import Callable, Hashable
from os import register_at_fork
from threading import RLock
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """One object a key, made for its first user and closed after its last one.

    Args:
        close: frees what an object holds, when its last user has released it.
        abandon: makes an object usable in a forked child, which must not touch
            what the parent still uses (connections, threads).
    """

    def __init__(
        self, close: Callable[[T], None], abandon: Callable[[T], None]
    ) -> None:
        self._close = close
        self._abandon = abandon
        self._lock = RLock()
        self._objects: dict[Hashable, tuple[T, int]] = {}
        register_at_fork(after_in_child=self._after_fork)

    def acquire(self, key: Hashable, create: Callable[[], T]) -> T:
        """The object with that key, made by `create()` if there is none yet.

        Each call is to be followed by one `release(key)`.
        """
        with self._lock:
            known = self._objects.get(key)
            shared, users = known if known else (create(), 0)
            self._objects[key] = shared, users + 1
            return shared

    def release(self, key: Hashable) -> None:
        """Says that one user of the object needs it no more."""
        with self._lock:
            shared, users = self._objects.pop(key)
            if users > 1:
                self._objects[key] = shared, users - 1
                return
        self._close(shared)

    def _after_fork(self) -> None:
        self._lock = RLock()
        for shared, _ in self._objects.values():
            self._abandon(shared)
