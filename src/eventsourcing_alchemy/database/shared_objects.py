"""Objects that are shared within a process, and closed with their last user."""

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from os import register_at_fork
from threading import Lock, RLock, get_ident
from typing import Generic, TypeVar

T = TypeVar("T")


class Entry(Generic[T]):
    """An object of a registry, once it is made."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.users = 0
        self.shared: list[T] = []


class SharedObjects(Generic[T]):
    """One object a key, made for its first user and closed after its last one.

    Args:
        close: frees what an object holds, when its last user has released it.
        abandon: makes an object usable in a forked child, which must not touch
            what the parent still uses (connections, threads).
        before_fork: makes an object ready for a fork.
        after_fork: ends that, in the parent, when no other thread forks.
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
        self._is_changing = False
        self._entries: dict[Hashable, Entry[T]] = {}
        self._released: deque[Hashable] = deque()
        self._before_fork = before_fork
        self._forking: set[int] = set()
        register_at_fork(
            before=self._begin_fork,
            after_in_parent=lambda: self._end_fork(after_fork),
            after_in_child=lambda: self._in_child(abandon),
        )

    def acquire(self, key: Hashable, create: Callable[[], T]) -> T:
        """The object with that key, made by `create()` if there is none yet.

        Each call that returns is to be followed by one `release(key)`. While one
        object is made, which may take as long as a server that does not answer,
        others can be acquired.
        """
        is_user = False
        try:
            with self._changing():
                entry = self._entries.setdefault(key, Entry())
                entry.users += 1
                is_user = True
            with entry.lock:
                if not entry.shared:
                    self._share(entry, create())
                return entry.shared[0]
        except BaseException:
            if is_user:
                self.release(key)
            raise

    def release(self, key: Hashable) -> None:
        """Says that one user of the object needs it no more."""
        self._released.append(key)
        with self._lock:
            # The garbage collector may call this in the midst of another call in the
            # same thread, which then leaves it to the next one.
            if self._is_changing:
                return
            unused = [each for each in self._drained() if not each.users]
        for entry in unused:
            for shared in entry.shared:
                self._close(shared)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._lock:
            self._is_changing = True
            try:
                yield
            finally:
                self._is_changing = False

    def _drained(self) -> list[Entry[T]]:
        entries = []
        while self._released:
            key = self._released.popleft()
            entry = self._entries[key]
            entry.users -= 1
            if not entry.users:
                del self._entries[key]
            entries.append(entry)
        return entries

    def all(self) -> list[T]:
        """The objects that are there now."""
        with self._lock:
            entries = list(self._entries.values())
        return [shared for entry in entries for shared in entry.shared]

    def _share(self, entry: Entry[T], shared: T) -> None:
        with self._lock:
            if self._forking:
                self._before_fork(shared)
            entry.shared.append(shared)

    def _begin_fork(self) -> None:
        with self._lock:
            # By thread, not by number: an interrupt may leave out the end.
            self._forking.add(get_ident())
            self._each(self._before_fork)

    def _end_fork(self, after_fork: Callable[[T], None]) -> None:
        with self._lock:
            self._forking.discard(get_ident())
            if not self._forking:
                self._each(after_fork)

    def _each(self, call: Callable[[T], None]) -> None:
        with self._lock:
            for entry in self._entries.values():
                for shared in entry.shared:
                    call(shared)

    def _in_child(self, abandon: Callable[[T], None]) -> None:
        # A thread of the parent may have held them.
        self._lock = RLock()
        self._forking.clear()
        for entry in self._entries.values():
            entry.lock = Lock()
        self._each(abandon)
