"""Aggregates of what may be rolled back, which must not get into a shared cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock, local
from typing import Any

from eventsourcing_alchemy.host import Cache, EventSourcedProjection, Projection

_installing = Lock()


class DivisibleCache(Cache[Any, Any]):
    """A cache instead of which a thread may have one of its own for a while.

    Args:
        shared: what all other threads have.
    """

    def __init__(self, shared: Cache[Any, Any]) -> None:
        super().__init__()
        self.cache = shared.cache
        self._shared = shared
        self._of_thread = local()

    def get(self, key: Any, *, evict: bool = False) -> Any:
        """Looks in the thread's cache."""
        return self._current().get(key, evict=evict)

    def put(self, key: Any, value: Any) -> Any:
        """Puts an aggregate in the thread's cache."""
        return self._current().put(key, value)

    def _current(self) -> Cache[Any, Any]:
        current: Cache[Any, Any] = getattr(self._of_thread, "cache", self._shared)
        return current

    @contextmanager
    def apart(self) -> Iterator[Cache[Any, Any]]:
        """Gives the calling thread an empty cache of its own, in the block."""
        self._of_thread.cache = own = Cache[Any, Any]()
        try:
            yield own
        finally:
            del self._of_thread.cache

    def forget(self, aggregate_ids: list[Any]) -> None:
        """Has no thread find some aggregates any more."""
        for each in aggregate_ids:
            with suppress(KeyError):
                self._shared.get(each, evict=True)


@contextmanager
def caching_apart(
    projection: Projection[Any] | EventSourcedProjection[Any],
    after_commit: Callable[[Callable[[], None]], None],
) -> Iterator[None]:
    """Has the projection cache no aggregates that may be rolled back, in the block.

    Nor does another thread see them before the commit. After that, the shared cache
    forgets what it has of the same aggregates, because it is older.

    Args:
        projection: that may have a cache.
        after_commit: has a function called once the transaction has committed.
    """
    cache = _divisible_cache(projection)
    if cache is None:
        yield
        return
    with cache.apart() as own:
        yield
    after_commit(lambda: cache.forget(list(own.cache)))


def _divisible_cache(
    projection: Projection[Any] | EventSourcedProjection[Any],
) -> DivisibleCache | None:
    if not isinstance(projection, EventSourcedProjection):
        return None
    repository = projection.repository
    with _installing:
        if repository.cache is None:
            return None
        if not isinstance(repository.cache, DivisibleCache):
            repository.cache = DivisibleCache(repository.cache)
        return repository.cache
