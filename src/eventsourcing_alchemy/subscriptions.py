"""Following an application: pull, yield, wait for a hint."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import finalize

from eventsourcing.persistence import Notification, ProgrammingError, Subscription

from eventsourcing_alchemy.hints import Waiter, hints
from eventsourcing_alchemy.listening import listen
from eventsourcing_alchemy.notifications import Scan

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


class SQLAlchemySubscription(Subscription["SQLAlchemyApplicationRecorder"]):
    """The events of an application: those recorded, then those to come.

    Each event above the position `gt` is returned once, in the order of positions,
    if its topic is among `topics`. Everything happens in the thread that iterates,
    and errors surface there; iterating again continues after the last event that
    was returned. `stop()` may be called from any thread.

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
        self._reader = recorder.reader
        self._waiter = Waiter()
        self._page: Iterator[Notification] = iter(())
        self._scan = Scan(self._reader, gt or 0, topics, without_large_states=True)
        # Before the first look, so that nothing is recorded unnoticed in between.
        stop_listening = listen(recorder.datastore)
        topic = recorder.events_topic
        hints.add(topic, self._waiter)
        self._close = finalize(self, _close, topic, self._waiter, stop_listening)
        self._shortest_pause, self._longest_pause = _pauses(
            recorder.datastore.settings.poll_interval, listens=bool(stop_listening)
        )
        self._pause = self._shortest_pause
        self._check_position(recorder.name, gt or 0)

    def __exit__(self, *args: object, **kwargs: Any) -> None:
        """Stops the subscription, and frees what it holds."""
        try:
            super().__exit__(*args, **kwargs)
        finally:
            self._close()

    def stop(self) -> None:
        """Ends the iteration, at once also where it waits in another thread."""
        super().stop()
        self._waiter.wake()

    def __next__(self) -> Notification:
        """The next notification; blocks until there is one, or `stop()` is called.

        Raises:
            StopIteration: after `stop()`.
            PersistenceError: if the database cannot be read.
        """
        while not self._has_been_stopped:
            notification = next(self._page, None)
            if notification is not None:
                return self._whole(notification)
            self._pull()
        self._close()
        raise StopIteration

    def _pull(self) -> None:
        page = self._scan.page(PAGE)
        self._page = iter(page)
        if page:
            self._pause = self._shortest_pause
        elif self._scan.is_at_end():
            hinted = self._waiter.wait(self._pause)
            longer = min(2 * self._pause, self._longest_pause)
            self._pause = self._shortest_pause if hinted else longer

    def _whole(self, notification: Notification) -> Notification:
        # What a page has in the place of a large state.
        state: bytes | None = notification.state
        if state is None:
            notification = replace(
                notification, state=self._reader.state(notification.id)
            )
        self._last_notification_id = notification.id
        return notification

    def _check_position(self, name: str, gt: int) -> None:
        last = self._reader.last_position()
        if gt <= last:
            return
        self._close()
        msg = (
            f"gt is {gt}, but the last position of application {name!r} is {last}: is "
            f"this the right database, or a restored one? Reset what follows it"
        )
        raise ProgrammingError(msg)


def _pauses(poll_interval: float | None, *, listens: bool) -> tuple[float, float]:
    if listens:
        interval = poll_interval or LONGEST_POLL_WHEN_LISTENING
        return interval, interval
    longest = poll_interval or LONGEST_POLL
    return min(SHORTEST_POLL, longest), longest


def _close(
    topic: object, waiter: Waiter, stop_listening: Callable[[], None] | None
) -> None:
    hints.discard(topic, waiter)
    if stop_listening is not None:
        stop_listening()
