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
        before_fork: makes an object ready for a fork.
        after_fork: ends that, in the parent.
    """

    def __init__(
        self,
        close: Callable[[T], None],
        abandon: Callable[[T], None],
        before_fork: Callable[[T], None] = lambda _: None,
        after_fork: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._close = close
        self._lock = RLock()
        self._objects: dict[Hashable, tuple[T, int]] = {}
        register_at_fork(
            before=lambda: self._each(before_fork),
            after_in_parent=lambda: self._each(after_fork),
            after_in_child=lambda: self._in_child(abandon),
        )

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

    def _each(self, call: Callable[[T], None]) -> None:
        with self._lock:
            for shared, _ in self._objects.values():
                call(shared)

    def _in_child(self, abandon: Callable[[T], None]) -> None:
        # A thread of the parent may have held it.
        self._lock = RLock()
        self._each(abandon)
