"""Following events with tags."""

from eventsourcing_alchemy.host import (
    DCBQuery,
    DCBSequencedEvent,
    DCBSubscription,
    TDCBRecorder_co,
)
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.statements.dcb_query import Query
from eventsourcing_alchemy.subscriptions.dcb_reader import DCBReader
from eventsourcing_alchemy.subscriptions.following import Following


class DCBPages:
    """Moves forward through the events that a query finds.

    Attributes:
        position: as of `Pages`.
        known_last: as of `Pages`.

    Args:
        reader: of the application.
        query: finds the events.
        after: position to start after.
    """

    def __init__(self, reader: DCBReader, query: Query, after: int) -> None:
        self.position = after
        self.known_last = after
        self._reader = reader
        self._query = query

    def page(self, limit: int) -> list[DCBSequencedEvent]:
        """The next events, possibly none.

        Args:
            limit: number of events at the most.
        """
        head, page = self._reader.first_page(self._query, self.position, limit)
        self.known_last = head
        # Of what is not a full page, everything up to the head was looked at.
        end = page[-1].position if len(page) == limit else head
        self.position = max(self.position, end)
        return page

    def is_at_end(self) -> bool:
        """Whether there is nothing more, as far as is known now."""
        return self.position >= self.known_last

    @property
    def is_behind(self) -> bool:
        """Whether the database ends, by the last look, before what was read."""
        return self.known_last < self.position


class SQLAlchemyDCBSubscription(
    Following[DCBSequencedEvent], DCBSubscription[TDCBRecorder_co]
):
    """Iterates over the events that match a query: first stored ones, then new ones.

    The iterator returns each event after the position `after` once, in the order of
    positions. It works in the thread that iterates. While the database is out of reach,
    the iterator blocks and tries again; it raises errors that need a person. You may
    call `stop()` from any thread.

    Args:
        recorder: the recorder of the application.
        query: selects events; without items, all.
        after: the position to start after; None for the beginning.
        reader: reads the events of the same application.

    Raises:
        ProgrammingError: if `after` is beyond the last position.
        OperationalError: if the database cannot be reached.
    """

    def __init__(
        self,
        recorder: TDCBRecorder_co,
        query: DCBQuery | None,
        after: int | None,
        reader: DCBReader,
    ) -> None:
        super().__init__(recorder, query, after)
        self._checked_query = Query.of(query)
        interruption = Interruption()
        self._reader = reader.interrupted_by(interruption)
        self._follow(self._reader, after or 0, interruption)

    def _pages(self, gt: int) -> DCBPages:
        return DCBPages(self._reader, self._checked_query, gt)

    @staticmethod
    def _position_of(event: DCBSequencedEvent) -> int:
        return event.position
