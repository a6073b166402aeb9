"""Following the events of aggregates, as the host's applications record them."""

from collections.abc import Sequence
from dataclasses import replace

from eventsourcing_alchemy.host import ApplicationRecorder, Notification, Subscription
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.subscriptions.following import Following
from eventsourcing_alchemy.subscriptions.notification_reader import (
    NotificationReader,
    Scan,
)


class SQLAlchemySubscription(
    Following[Notification], Subscription[ApplicationRecorder]
):
    """Iterates over the events of an application: first stored ones, then new ones.

    The iterator returns each event after the position `gt` once, in the order of
    positions, if its topic is among `topics`. It works in the thread that iterates.

    While the database is out of reach, the iterator blocks and tries again. It raises
    errors that need a person; if you iterate again after that, it continues after the
    last event that it returned. You may call `stop()` from any thread.

    Args:
        recorder: the recorder of the application.
        gt: the position to start after; None for the beginning.
        topics: the topics to select; empty for all.
        reader: reads the notifications of the same application.

    Raises:
        ProgrammingError: if `gt` is beyond the last position.
        OperationalError: if the database cannot be reached.
    """

    def __init__(
        self,
        recorder: ApplicationRecorder,
        gt: int | None,
        topics: Sequence[str],
        reader: NotificationReader,
    ) -> None:
        super().__init__(recorder, gt, topics)
        interruption = Interruption()
        self._reader = reader.interrupted_by(interruption)
        self._follow(self._reader, gt or 0, interruption)

    def _pages(self, gt: int) -> Scan:
        return Scan(self._reader, gt, self._topics, without_large_states=True)

    @staticmethod
    def _position_of(event: Notification) -> int:
        return event.id

    def _is_whole(self, event: Notification) -> bool:
        # What a page has in the place of a large state.
        state: bytes | None = event.state
        return state is not None

    def _whole(self, event: Notification) -> Notification | None:
        state = self._reader.state(event.id)
        return None if state is None else replace(event, state=state)
