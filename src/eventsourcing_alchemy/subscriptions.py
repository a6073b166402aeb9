"""Following an application: pull, yield, wait for a hint."""

from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any
from weakref import finalize

from eventsourcing.persistence import (
    Notification,
    ProgrammingError,
    Subscription,
)

from eventsourcing_alchemy.engines import resumed_topic
from eventsourcing_alchemy.hints import Waiter, hints
from eventsourcing_alchemy.interruptions import Interruption
from eventsourcing_alchemy.listening import listen
from eventsourcing_alchemy.notifications import Scan
from eventsourcing_alchemy.retrying import Endurance

if TYPE_CHECKING:
    from eventsourcing_alchemy.recorders import SQLAlchemyApplicationRecorder

PAGE = 500
"""Notifications in memory, at the most; large states are read one by one."""

SHORTEST_POLL = 0.005
"""Seconds after which the first poll follows something new."""

LONGEST_POLL = 0.25
"""Seconds between polls at the most, where nothing announces commits."""

LONGEST_POLL_WHEN_LISTENING = 5.0
"""Seconds between polls, as a safety net beside announcements."""

BEHIND_PATIENCE = 30.0
"""Seconds for which a database may be behind what was read before: another node of a
cluster, a standby."""


class SQLAlchemySubscription(Subscription["SQLAlchemyApplicationRecorder"]):
    """The events of an application: those recorded, then those to come.

    Each event above the position `gt` is returned once, in the order of positions,
    if its topic is among `topics`. Everything happens in the thread that iterates.
    While the database is out of reach, the iterator blocks and tries again; errors
    that will not heal surface there, and iterating again continues after the last
    event that was returned. `stop()` may be called from any thread.

    Args:
        recorder: of the application.
        gt: position to start after, None for the beginning.
        topics: of the events; empty for all.

    Raises:
        ProgrammingError: if `gt` is beyond the end of the application.
        OperationalError: if the database cannot be reached.
    """

    def __init__(
        self,
        recorder: "SQLAlchemyApplicationRecorder",
        gt: int | None,
        topics: Sequence[str],
    ) -> None:
        super().__init__(recorder, gt, topics)
        self._datastore = recorder.datastore
        self._waiter = Waiter()
        self._interruption = Interruption()
        self._reader = recorder.reader.interrupted_by(self._interruption)
        self._enduring = Endurance(
            self._datastore.dialect,
            self._datastore.outage,
            self._waiter.wait,
            self._interruption.is_set,
        )
        with ExitStack() as stack:
            # Before the first look, so that nothing is recorded unnoticed in between.
            self._ear = listen(self._datastore)
            if self._ear is not None:
                stack.callback(self._ear.close)
            for topic in recorder.events_topic, resumed_topic(self._datastore.database):
                hints.add(topic, self._waiter)
                stack.callback(hints.discard, topic, self._waiter)
            self.restart(gt or 0)
            self._check_position(gt or 0)
            self._close = finalize(self, stack.pop_all().close)

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        """Stops the subscription, and frees what it holds."""
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._close()

    def stop(self) -> None:
        """Ends the iteration, at once also where it waits in another thread."""
        super().stop()
        self._interruption.set()
        self._waiter.wake()

    @property
    def position(self) -> int:
        """Everything up to here was returned, filtered out, or never was."""
        return self._page[0].id - 1 if self._page else self._scan.position

    def restart(self, gt: int) -> None:
        """Continues from another position.

        Args:
            gt: position to start after.
        """
        self._page: deque[Notification] = deque()
        self._scan = Scan(self._reader, gt, self._topics, without_large_states=True)
        self._is_at_end = False
        self._is_behind_since: float | None = None
        self._pause = 0.0

    def __next__(self) -> Notification:
        """The next notification; blocks until there is one, or `stop()` is called.

        Raises:
            StopIteration: after `stop()`.
            PersistenceError: if the database cannot be read, and never will be.
        """
        while not self._has_been_stopped:
            notification = self.look()
            if notification is not None:
                return notification
        self._close()
        raise StopIteration

    def look(self, longest_wait: float | None = None) -> Notification | None:
        """The next notification, None if there is none by now.

        Waits for a hint first if the last look found nothing, so that looking in a
        loop is as good as `next()`. Between looks, `position` tells how far they got.

        Args:
            longest_wait: seconds to wait for a hint, None for as long as is useful.

        Raises:
            PersistenceError: as `next()`.
        """
        if not self._page:
            if self._is_at_end:
                self._wait(longest_wait)
            self._pull()
        if self._has_been_stopped or not self._page:
            return None
        notification: Notification | None = self._page[0]
        if not _is_whole(self._page[0]):
            notification = self._enduring.call(self._whole)
        if notification is not None:
            self._page.popleft()
            self._last_notification_id = notification.id
        return notification

    def ready(self, limit: int) -> list[Notification]:
        """The next notifications, as far as they have been read already.

        Without those that have large states, which are read one by one.

        Args:
            limit: number of notifications at the most.
        """
        found: list[Notification] = []
        while self._page and len(found) < limit and _is_whole(self._page[0]):
            found.append(self._page.popleft())
        if found:
            self._last_notification_id = found[-1].id
        return found

    def _wait(self, longest: float | None) -> None:
        shortest, longest_pause = self._pauses()
        pause = min(max(self._pause, shortest), longest_pause)
        if self._waiter.wait(pause if longest is None else min(pause, longest)):
            self._pause = shortest
        else:
            self._pause = 2 * pause

    def _pauses(self) -> tuple[float, float]:
        interval = self._datastore.settings.poll_interval
        if self._ear is not None and self._ear.hears:
            interval = interval or LONGEST_POLL_WHEN_LISTENING
            return interval, interval
        longest = interval or LONGEST_POLL
        return min(SHORTEST_POLL, longest), longest

    def _pull(self) -> None:
        page = self._enduring.call(lambda: self._scan.page(PAGE))
        if page:
            self._page.extend(page)
            self._is_at_end = False
            self._pause = 0.0
        elif page is not None:
            self._is_at_end = self._enduring.call(self._scan.is_at_end) is not False
            self._refuse_lost_events()

    def _refuse_lost_events(self) -> None:
        if not self._scan.is_behind:
            self._is_behind_since = None
            return
        self._is_behind_since = self._is_behind_since or monotonic()
        if monotonic() - self._is_behind_since > BEHIND_PATIENCE:
            self._refuse_position(self._scan.position, self._scan.known_last)

    def _whole(self) -> Notification:
        notification = self._page[0]
        return replace(notification, state=self._reader.state(notification.id))

    def _check_position(self, gt: int) -> None:
        last = self._reader.last_position()
        if gt > last:
            self._refuse_position(gt, last)

    def _refuse_position(self, gt: int, last: int) -> None:
        msg = (
            f"gt is {gt}, but the last position of application "
            f"{self._recorder.name!r} is {last}: is this the right database, or a "
            f"restored one? Reset what follows it"
        )
        raise ProgrammingError(msg)


def _is_whole(notification: Notification) -> bool:
    # What a page has in the place of a large state.
    state: bytes | None = notification.state
    return state is not None
