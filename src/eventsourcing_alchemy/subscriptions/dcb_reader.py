"""Reading events with tags in the order of their positions."""

from collections import deque
from collections.abc import Sequence

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import DCBEvent, DCBReadResponse, DCBSequencedEvent
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.statements import dcb, row_mapping
from eventsourcing_alchemy.statements.applications import last_position
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.dcb_query import Query
from eventsourcing_alchemy.statements.executor import Executor

PAGE = 500
"""Events in memory, at the most."""


class DCBReader:
    """Reads the events of one application.

    Args:
        datastore: where they are.
        name: of the application.
        interruption: ends the wait for a database that does not answer.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        name: str,
        interruption: Interruption | None = None,
    ) -> None:
        self.datastore = datastore
        self.name = name
        self._interruption = interruption

    def interrupted_by(self, interruption: Interruption) -> "DCBReader":
        """The same, for reading what may be interrupted."""
        return DCBReader(self.datastore, self.name, interruption)

    def last_position(self) -> int:
        """The position of the last event; 0 if there is none."""
        with self.datastore.statement(self._interruption) as executor:
            return self._last_position(executor)

    def first_page(
        self, query: Query, after: int, limit: int
    ) -> tuple[int, list[DCBSequencedEvent]]:
        """The last position of the application, and a page as it was then.

        Args:
            query: finds the events.
            after: position to start after.
            limit: number of events at the most.
        """
        parameters = {"application": self.name, "after": after, "limit": limit}
        with self.datastore.statement(self._interruption) as executor:
            if len(query.parts) > 1:
                head = self._last_position(executor)
                return head, self._page(executor, query, after, head, limit)
            statement = dcb.first_page(query.shape, knows_rarest=self._knows_rarest)
            rows = executor.rows(statement, {**parameters, **query.parameters})
        if not rows:
            return 0, []
        found = [row[1:] for row in rows if row[1] is not None]
        return int(rows[0][0]), _events(found)

    def page(
        self, query: Query, after: int, upto: int, limit: int
    ) -> list[DCBSequencedEvent]:
        """The first events after a position, up to another one.

        Args:
            query: finds the events.
            after: position to start after.
            upto: position to end with.
            limit: number of events at the most.
        """
        with self.datastore.statement(self._interruption) as executor:
            return self._page(executor, query, after, upto, limit)

    def age(self, position: int) -> float | None:
        """Seconds since the event at a position was recorded, None if there is none.

        By the clock of the database.
        """
        parameters = {"application": self.name, "position": position}
        with self.datastore.statement(self._interruption) as executor:
            return row_mapping.age(executor.first(dcb.recorded_at(), parameters))

    def _page(
        self, executor: Executor, query: Query, after: int, upto: int, limit: int
    ) -> list[DCBSequencedEvent]:
        bounds = {"application": self.name, "after": after, "upto": upto}
        found: dict[int, DCBSequencedEvent] = {}
        for part in query.parts:
            parameters = {**bounds, "limit": limit, **part.parameters}
            statement = dcb.page(part.shape, knows_rarest=self._knows_rarest)
            rows = executor.rows(statement, parameters)
            found |= {event.position: event for event in _events(rows)}
        return [found[position] for position in sorted(found)][:limit]

    @property
    def _knows_rarest(self) -> bool:
        return self.datastore.dialect.knows_rarest

    def _last_position(self, executor: Executor) -> int:
        parameters = {"application": self.name}
        return executor.scalar(last_position(), parameters) or 0


def _events(rows: Rows) -> list[DCBSequencedEvent]:
    return [
        DCBSequencedEvent(
            DCBEvent(type_, bytes(data), row_mapping.tags_of(position, tags)), position
        )
        for position, type_, data, tags in rows
    ]


class ReadResponse(DCBReadResponse):
    """The events that a query finds, up to the head that it was asked at.

    Args:
        reader: of the application.
        query: finds the events.
        after: position to start after.
        limit: number of events at the most, None for all.
    """

    def __init__(
        self, reader: DCBReader, query: Query, after: int, limit: int | None
    ) -> None:
        self._reader = reader
        self._query = query
        self._limit = limit
        self._pulled = 0
        self._position = after
        self._page: deque[DCBSequencedEvent] = deque()
        self._upto, page = reader.datastore.retrying(
            lambda: reader.first_page(query, after, self._page_limit())
        )
        self._add(page)

    @property
    def head(self) -> int | None:
        """The last position of the application when it was read.

        With a limit, the position of the last event that is returned. None if there is
        none.
        """
        if self._limit is None:
            return self._upto or None
        while self._may_go_on:
            self._pull()
        return self._position if self._pulled else None

    def __next__(self) -> DCBSequencedEvent:
        """The next event.

        Raises:
            StopIteration: after the last one.
            PersistenceError: if the database cannot be read.
        """
        if not self._page and self._may_go_on:
            self._pull()
        if not self._page:
            raise StopIteration
        return self._page.popleft()

    def _pull(self) -> None:
        self._add(
            self._reader.datastore.retrying(
                lambda: self._reader.page(
                    self._query, self._position, self._upto, self._page_limit()
                )
            )
        )

    def _add(self, page: Sequence[DCBSequencedEvent]) -> None:
        self._may_go_on = bool(page) and len(page) == self._page_limit()
        self._pulled += len(page)
        self._page.extend(page)
        if page:
            self._position = page[-1].position
        self._may_go_on = self._may_go_on and self._pulled != self._limit

    def _page_limit(self) -> int:
        return PAGE if self._limit is None else min(PAGE, self._limit - self._pulled)
