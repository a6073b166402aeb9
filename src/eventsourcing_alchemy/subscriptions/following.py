"""Following an application: pull, yield, wait for a hint."""

from abc import abstractmethod
from collections import deque
from contextlib import ExitStack
from os import getpid
from threading import get_ident
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar
from weakref import finalize

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.engines import resumed_topic
from eventsourcing_alchemy.database.retrying import Endurance
from eventsourcing_alchemy.database.wakeups import (
    STOPPED,
    TIMER,
    Waiter,
    events_topic,
    hints,
)
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.subscriptions.commit_notifications import listen

T = TypeVar("T")
S = TypeVar("S")

PAGE = 500
"""Events in memory, at the most; large states are read one by one."""

SHORTEST_POLL = 0.005
"""Seconds after which the first poll follows something new."""

LONGEST_POLL = 0.25
"""Seconds between polls at the most, where nothing announces commits."""

LONGEST_POLL_WHEN_LISTENING = 5.0
"""Seconds between polls, as a safety net beside announcements."""

BEHIND_PATIENCE = 30.0
"""Seconds for which a database may be behind what was read before: another node of a
cluster, a standby."""


_OF_ANOTHER_THREAD = (
    "Another thread is iterating over this subscription, so events would come twice, "
    "or in another order: subscribe in each thread, or pass the events on by a queue"
)


class Pages(Protocol[T]):
    """Moves forward through the events of an application.

    Attributes:
        position: everything up to it was returned, filtered out, or never was.
        known_last: the last position of the application, when it was looked at last.
    """

    position: int
    known_last: int

    def page(self, limit: int) -> list[T]:
        """The next events, possibly none: `is_at_end()` tells what that means."""

    def is_at_end(self) -> bool:
        """Whether there is nothing more, as far as is known now."""

    @property
    def is_behind(self) -> bool:
        """Whether the database ends, by the last look, before what was read."""


class Reader(Protocol):
    """Reads the events of one application."""

    @property
    def datastore(self) -> SQLAlchemyDatastore:
        """Where they are."""

    @property
    def name(self) -> str:
        """Of the application."""

    def last_position(self) -> int:
        """The position of the last event; 0 if there is none."""


class Following(Generic[T]):
    """A subscription, beside the host's base class, which knows whether it is stopped.

    Everything happens in the thread that iterates. While the database is out of reach,
    the iterator blocks and tries again. `stop()` may be called from any thread.
    """

    _has_been_stopped: bool

    def _follow(self, reader: Reader, gt: int, interruption: Interruption) -> None:
        """Begins after a position.

        Args:
            reader: of the application.
            gt: position to start after.
            interruption: ends what the reader waits for.

        Raises:
            ProgrammingError: if `gt` is beyond the end of the application.
            OperationalError: if the database cannot be reached.
        """
        self._looking: dict[int, int] = {}
        """By process, because a child inherits it: the thread that is looking."""
        self._following = reader
        self._datastore = reader.datastore
        self._waiter = Waiter()
        self._interruption = interruption
        self._enduring = Endurance(
            self._datastore.dialect,
            self._datastore.outage,
            self._waiter.wait,
            self._interruption.is_set,
            self._datastore.is_inside_block,
        )
        database = self._datastore.database
        with ExitStack() as stack:
            # Before the first look, so that nothing is recorded unnoticed in between.
            self._listener = self._datastore.retrying(lambda: listen(self._datastore))
            if self._listener is not None:
                stack.callback(self._listener.close)
            for topic in events_topic(database, reader.name), resumed_topic(database):
                hints.add(topic, self._waiter)
                stack.callback(hints.discard, topic, self._waiter)
            self.restart(gt)
            self._check_position(gt)
            self._close = finalize(self, stack.pop_all().close)

    @abstractmethod
    def _pages(self, gt: int) -> Pages[T]:
        """What follows a position."""

    @staticmethod
    @abstractmethod
    def _position_of(event: T) -> int:
        """The position of an event."""

    def _is_whole(self, event: T) -> bool:  # noqa: ARG002
        """Whether nothing has to be read in addition."""
        return True

    def _whole(self, event: T) -> T | None:
        """The event with what has to be read in addition; None if it was deleted."""
        return event

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        """Stops the subscription, and frees what it holds."""
        try:
            super().__exit__(*args, **kwargs)  # type: ignore[misc]
        finally:
            self._close()

    def stop(self) -> None:
        """Ends the iteration at once, even if it waits in another thread."""
        super().stop()  # type: ignore[misc]
        self._interruption.set()
        self._waiter.wake(STOPPED)

    def __next__(self) -> T:
        """Returns the next event. Blocks until there is one, or `stop()` is called.

        Raises:
            StopIteration: after `stop()`.
            PersistenceError: if the database cannot be read, and no retry would help.
            ProgrammingError: if another thread is iterating.
        """
        while not self._has_been_stopped:
            event = self.look()
            if event is not None:
                return event
        self._close()
        raise StopIteration

    @property
    def position(self) -> int:
        """Everything up to here was returned, filtered out, or never was."""
        return (
            self._position_of(self._page[0]) - 1 if self._page else self._scan.position
        )

    def restart(self, gt: int) -> None:
        """Continues from another position.

        Args:
            gt: position to start after.
        """
        self._page: deque[T] = deque()
        self._scan = self._pages(gt)
        self._is_at_end = False
        self._is_behind_since: float | None = None
        self._pause = 0.0

    def look(self, longest_wait: float | None = None) -> T | None:
        """The next event, None if there is none by now.

        Waits for a hint first if the last look found nothing, so that looking in a
        loop is as good as `next()`. Between looks, `position` tells how far they got.

        Args:
            longest_wait: seconds to wait for a hint, None for as long as is useful.

        Raises:
            PersistenceError: as `next()`.
            ProgrammingError: while another thread looks.
        """
        # In one step, and by thread: an interrupt may leave out the end.
        if self._looking.setdefault(getpid(), get_ident()) != get_ident():
            raise ProgrammingError(_OF_ANOTHER_THREAD)
        try:
            return self._look(longest_wait)
        finally:
            self._looking.clear()

    def _look(self, longest_wait: float | None) -> T | None:
        if not self._page:
            if self._is_at_end:
                self._wait(longest_wait)
            self._pull()
        if self._has_been_stopped or not self._page:
            return None
        event: T | None = self._page[0]
        if not self._is_whole(self._page[0]):
            event = self._enduring.call(lambda: self._whole(self._page[0]))
            if event is None and self._interruption.is_set():
                return None
        self._page.popleft()
        return event

    def ready(self, limit: int) -> list[T]:
        """The next events, as far as they have been read already, and whole.

        Args:
            limit: number of events at the most.
        """
        found: list[T] = []
        while self._page and len(found) < limit and self._is_whole(self._page[0]):
            found.append(self._page.popleft())
        return found

    def _wait(self, longest: float | None) -> None:
        shortest, longest_pause = self._pauses()
        pause = min(max(self._pause, shortest), longest_pause)
        reason = self._waiter.wait(pause if longest is None else min(pause, longest))
        self._pause = 2 * pause if reason is None else shortest
        instrumentation.observer.woken(self._following.name, reason or TIMER)

    def _pauses(self) -> tuple[float, float]:
        interval = self._datastore.settings.poll_interval
        if self._listener is not None and self._listener.hears:
            interval = interval or LONGEST_POLL_WHEN_LISTENING
            return interval, interval
        longest = interval or LONGEST_POLL
        return min(SHORTEST_POLL, longest), longest

    def _pull(self) -> None:
        page = self._enduring.call(self._next_page)
        if page:
            self._page.extend(page)
            self._is_at_end = False
            self._pause = 0.0
        elif page is not None:
            self._is_at_end = self._enduring.call(self._scan.is_at_end) is not False
            self._refuse_lost_events()

    def _next_page(self) -> list[T]:
        with instrumentation.observer.reading(self._following.name) as reading:
            page = self._scan.page(PAGE)
            reading.done(len(page))
        return page

    def _refuse_lost_events(self) -> None:
        if not self._scan.is_behind:
            self._is_behind_since = None
            return
        self._is_behind_since = self._is_behind_since or monotonic()
        if monotonic() - self._is_behind_since > BEHIND_PATIENCE:
            self._refuse_position(self._scan.position, self._scan.known_last)

    def _check_position(self, gt: int) -> None:
        last = self._datastore.retrying(self._following.last_position)
        if gt > last:
            self._refuse_position(gt, last)

    def _refuse_position(self, gt: int, last: int) -> None:
        msg = (
            f"gt is {gt}, but the last position of application "
            f"{self._following.name!r} is {last}: check that this is the right "
            "database. If an older backup was restored, reset what follows it"
        )
        raise ProgrammingError(msg)
