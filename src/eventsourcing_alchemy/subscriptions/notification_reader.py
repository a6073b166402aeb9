"""Reading the events of an application in the order of their positions."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, Table

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.wakeups import events_topic
from eventsourcing_alchemy.errors import TransientError
from eventsourcing_alchemy.host import Notification, StoredEvent
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.statements import row_mapping
from eventsourcing_alchemy.statements.applications import last_position
from eventsourcing_alchemy.statements.events import (
    next_position,
    position_of,
    recorded_at,
    state_at,
    window,
)
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.subscriptions.topics import TopicFilter

LAST_POSITION = 2**63 - 1
"""There can be no position above."""

WIDEST_WINDOW = 65_536
"""Positions looked at by one statement, at the most."""

WIDEST_UNFILTERED = 500
"""The same, where the events are filtered here."""

_TOPIC = 3
"""Index of a column of `window()`."""


class NotificationReader:
    """Reads the notifications of one application.

    Attributes:
        events_topic: of the hints that there are new ones.

    Args:
        datastore: where they are.
        table: of the events.
        name: of the application.
        interruption: ends the wait for a database that does not answer.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        table: Table,
        name: str,
        interruption: Interruption | None = None,
    ) -> None:
        self.datastore = datastore
        self._table = table
        self.name = name
        self._interruption = interruption
        self.events_topic = events_topic(datastore.database, name)

    def interrupted_by(self, interruption: Interruption) -> "NotificationReader":
        """The same, for reading what may be interrupted."""
        return NotificationReader(self.datastore, self._table, self.name, interruption)

    def last_position(self) -> int:
        """The position of the last event; 0 if there is none."""
        with self.datastore.statement(self._interruption) as executor:
            return self._last_position(executor)

    def window(
        self,
        gt: int,
        lte: int,
        limit: int,
        topics: TopicFilter,
        *,
        without_large_states: bool,
        look_first: bool = False,
    ) -> tuple[list[Notification], int]:
        """The first notifications with positions above `gt` and up to `lte`.

        Args:
            gt: position.
            lte: position.
            limit: number of notifications at the most.
            topics: of the events.
            without_large_states: whether large states are None.
            look_first: whether to look up the last position before.

        Returns:
            The notifications, and the last position that this connection knew before,
            0 without `look_first`. Other connections may lead to other nodes of a
            cluster, which have more, or less.
        """
        last = 0
        in_sql = topics.parameters
        statement = window(self._table, len(in_sql), without_large_states)
        parameters: dict[str, Any] = {
            "application": self.name,
            "gt": gt,
            "lte": lte,
            "limit": limit if topics.is_in_sql else lte - gt,
            **in_sql,
        }
        with self.datastore.statement(self._interruption) as executor:
            if look_first:
                last = self._last_position(executor)
            rows = executor.rows(statement, parameters)
        if not topics.is_in_sql:
            rows = [row for row in rows if row[_TOPIC] in topics.wanted][:limit]
        return row_mapping.notifications(rows), last

    def position(self, event: StoredEvent) -> int | None:
        """The position of an event, None if there is no event of its version."""
        parameters = {
            "application": self.name,
            "originator_id": event.originator_id,
            "originator_version": event.originator_version,
        }
        position: int | None = self._scalar(position_of(self._table), parameters)
        return position

    def after_gap(self, gt: int) -> int:
        """The position before the first event above another one.

        Where there is none, the last position, which may be that of an event that was
        deleted. Both as one connection knows them, for others may lead to other nodes.
        """
        parameters = {"application": self.name, "gt": gt}
        with self.datastore.statement(self._interruption) as executor:
            last = self._last_position(executor)
            following = executor.scalar(next_position(self._table), parameters)
        return last if following is None else int(following) - 1

    def age(self, position: int) -> float | None:
        """Seconds since the event at a position was recorded, None if there is none.

        By the clock of the database.
        """
        parameters = {"application": self.name, "position": position}
        with self.datastore.statement(self._interruption) as executor:
            row = executor.first(recorded_at(self._table), parameters)
        return row_mapping.age(row)

    def state(self, position: int) -> bytes | None:
        """The state of an event that was there, None if it was deleted since.

        Raises:
            TransientError: if this server is behind the one that has shown the event.
        """
        parameters = {"application": self.name, "position": position}
        statement = state_at(self._table)
        with self.datastore.statement(self._interruption) as executor:
            state = executor.scalar(statement, parameters)
            if state is None:
                if self._last_position(executor) < position:
                    msg = f"The event at position {position} is not on this server yet"
                    raise TransientError(msg)
                # Again, for it may have arrived in between.
                state = executor.scalar(statement, parameters)
        return None if state is None else bytes(state)

    def _last_position(self, executor: Executor) -> int:
        parameters = {"application": self.name}
        return executor.scalar(last_position(), parameters) or 0

    def _scalar(self, statement: Select[Any], parameters: Mapping[str, Any]) -> Any:
        with self.datastore.statement(self._interruption) as executor:
            return executor.scalar(statement, parameters)


class Scan:
    """Moves forward through the notifications of an application.

    Positions have no gaps, so a page is a window of as many positions, which any
    database finds in its primary key. Where a window has fewer events than that
    (a filter, imported gaps), the next ones become wider. Where even a wide one has
    none, the next event is looked up.

    Attributes:
        position: everything up to it was returned, filtered out, or never was.
        known_last: the last position of the application, when it was looked at last.

    Args:
        reader: of the application.
        gt: position to start after.
        stop: position to stop at, None to go on to the end.
        topics: of the events; empty for all.
        without_large_states: as in `NotificationReader.window()`.
    """

    def __init__(
        self,
        reader: NotificationReader,
        gt: int,
        topics: Sequence[str] = (),
        *,
        stop: int | None = None,
        without_large_states: bool = False,
    ) -> None:
        self.position = gt
        self._reader = reader
        self._topics = TopicFilter(topics)
        self._stop = LAST_POSITION if stop is None else stop
        self._without_large_states = without_large_states
        self.known_last = gt
        self._width = 1
        self._is_held_up = False
        self._knows_last = False

    def page(self, limit: int) -> list[Notification]:
        """The next notifications, possibly none: `is_at_end()` tells what that means.

        Args:
            limit: number of notifications at the most.
        """
        lte = min(self.position + self._window_width(limit), self._stop)
        is_known_to_go_on = self.position < self.known_last
        # One statement for a full page. Where there may be none, the last position has
        # to be known before: what is above it may have been recorded since.
        looks_first = bool(self._topics.wanted) or (
            is_known_to_go_on and self._width > 1
        )
        page, last = self._window(lte, limit, look_first=looks_first)
        if not page and is_known_to_go_on and not looks_first:
            looks_first = True
            page, last = self._window(lte, limit, look_first=True)
        self._knows_last = looks_first
        end = page[-1].id if page else min(lte, last)
        # A node of a cluster that is behind has nothing yet where others have events.
        self._is_held_up = is_known_to_go_on and end <= self.position
        if looks_first:
            self.known_last = last
        self.position = max(self.position, end)
        if not page and self._width == WIDEST_WINDOW and not self._is_held_up:
            self._skip_gap()
        is_sparse = not page or (self._topics.wanted and len(page) < limit)
        width = max(limit, self._width)
        self._width = min(2 * width, WIDEST_WINDOW) if is_sparse else 1
        return page

    def _skip_gap(self) -> None:
        end = min(self._reader.after_gap(self.position), self._stop)
        self.position = max(self.position, end)

    def _window_width(self, limit: int) -> int:
        width = max(limit, self._width)
        return width if self._topics.is_in_sql else min(width, WIDEST_UNFILTERED)

    def _window(
        self, lte: int, limit: int, *, look_first: bool
    ) -> tuple[list[Notification], int]:
        return self._reader.window(
            self.position,
            lte,
            limit,
            self._topics,
            without_large_states=self._without_large_states,
            look_first=look_first,
        )

    def first(self, limit: int) -> list[Notification]:
        """The first notifications, up to `stop`.

        Args:
            limit: number of notifications at the most.
        """
        found: list[Notification] = []
        while len(found) < limit and self.position < self._stop:
            found += self.page(limit - len(found))
            if len(found) < limit and self.is_at_end():
                break
        return found

    def is_at_end(self) -> bool:
        """Whether there is nothing more, as far as is known now."""
        if self.position >= self._stop or self._is_held_up:
            return True
        if self._knows_last or self.position < self.known_last:
            return self.position >= self.known_last
        self.known_last = self._reader.last_position()
        return self.position >= self.known_last

    @property
    def is_behind(self) -> bool:
        """Whether the database ends, by the last look, before what was read."""
        return self.known_last < self.position
