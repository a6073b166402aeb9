"""The events of an application up to a position, for who wants no others."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from eventsourcing_alchemy.host import (
    Application,
    DCBApplication,
    DCBMapper,
    DCBQuery,
    DCBQueryItem,
    Mapper,
    Notification,
)
from eventsourcing_alchemy.runners.event_source import TaggedMapper, tagged
from eventsourcing_alchemy.runners.refused_queries import chooser, refuses

PAGE = 1000
"""Events that are read at once."""

ReadPage = Callable[[int, int], Sequence[Notification]]


class History:
    """An event source that ends.

    Args:
        read: the first events after a position, up to another one, a page at most.
        stop: position of the last event.
        at_end: called when there are no more.
    """

    def __init__(self, read: ReadPage, stop: int, at_end: Callable[[], None]) -> None:
        self.position = 0
        self._read = read
        self._stop = stop
        self._at_end = at_end
        self._page: deque[Notification] = deque()

    def restart(self, gt: int) -> None:
        """Continues after a position."""
        self.position = gt
        self._page.clear()

    def look(self, longest_wait: float | None = None) -> Notification | None:  # noqa: ARG002
        """The next event, None at the end."""
        if not self._page and self.position < self._stop:
            self._page.extend(self._read(self.position, self._stop))
        if self._page:
            return self._next()
        self.position = max(self.position, self._stop)
        self._at_end()
        return None

    def ready(self, limit: int) -> Sequence[Notification]:
        """Those that follow the last one, as far as they have been read."""
        return [self._next() for _ in range(min(limit, len(self._page)))]

    def _next(self) -> Notification:
        notification = self._page.popleft()
        self.position = notification.id
        return notification


def reader_of(
    application: Application[Any] | DCBApplication, topics: Sequence[str]
) -> ReadPage:
    """What reads the events of an application, in whatever database.

    Args:
        application: whose events they are.
        topics: of the events; empty for all.
    """
    recorder: Any = application.recorder
    if not isinstance(application, DCBApplication):
        return lambda gt, stop: recorder.select_notifications(
            gt + 1, PAGE, stop=stop, topics=topics
        )
    if refuses(recorder, topics):
        return partial(_chosen, recorder, chooser(topics))
    query = DCBQuery(items=[DCBQueryItem(types=list(topics))])

    def read(gt: int, stop: int) -> Sequence[Notification]:
        found = map(tagged, recorder.read(query, after=gt, limit=PAGE))
        return [each for each in found if each.id <= stop]

    return read


def _chosen(
    recorder: Any, is_chosen: Callable[[Notification], bool], gt: int, stop: int
) -> Sequence[Notification]:
    """Reads on until there are some, or no more."""
    while page := [*map(tagged, recorder.read(after=gt, limit=PAGE))]:
        chosen = [each for each in page if each.id <= stop and is_chosen(each)]
        if chosen or page[-1].id >= stop:
            return chosen
        gt = page[-1].id
    return []


def mapper_in(application: Application[Any] | DCBApplication) -> Mapper[Any]:
    """What makes domain events of what `reader_of()` reads."""
    mapper: Any = application.mapper
    return TaggedMapper(mapper) if isinstance(mapper, DCBMapper) else mapper
