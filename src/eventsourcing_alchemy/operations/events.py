"""Stored events, by ranges of indexes: as fast at a million of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Event

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.application_reader import ApplicationReader
from eventsourcing_alchemy.operations.reading import Reader, UnknownNameError, read
from eventsourcing_alchemy.operations.stored_records import StoredRecord
from eventsourcing_alchemy.schema.validation import checked_count

WIDEST_WINDOW = 65_536
"""Positions that one statement looks at, at the most."""

MOST_LOOKED_AT = 5 * WIDEST_WINDOW
"""Positions that one page looks at, at the most: those of a topic may be few."""

FOLLOW_PAUSE = 0.5
"""Seconds between two looks for new events."""


@dataclass(frozen=True)
class Page:
    """Some events of an application.

    Attributes:
        events: in the order of positions.
        low: all the events that were asked for are there, if their positions are above
            this one,
        high: and up to this one.
        last_position: of the application.
    """

    events: Sequence[StoredRecord]
    low: int
    high: int
    last_position: int

    @property
    def older(self) -> int | None:
        """The `before` of the page of older events, None if there are none."""
        return self.low + 1 if self.low > 0 else None

    @property
    def newer(self) -> int | None:
        """The `after` of the page of newer events, None if there are none yet."""
        return self.high if self.high < self.last_position else None


def newest(
    datastore: SQLAlchemyDatastore,
    application: str,
    *,
    before: int | None = None,
    topic: str | None = None,
    limit: int = 50,
) -> Page:
    """The newest events of an application.

    Args:
        datastore: the database.
        application: name of the application.
        before: only those at positions below; None for all.
        topic: of the events; None for all. No index leads to it, so a page may end
            before it is full: `older` tells where to go on.
        limit: number of events at the most, 1 or more.

    Raises:
        UnknownNameError: if there is no such application.
        PersistenceError: if the database fails.
    """
    checked_count("limit", limit)

    def look(reader: Reader) -> Page:
        found = ApplicationReader(reader, application)
        last = found.last_position
        high = last if before is None else max(0, min(before - 1, last))
        edge, looked_at = high, 0
        records: list[StoredRecord] = []
        width = limit
        while edge > 0 and looked_at < MOST_LOOKED_AT and len(records) < limit:
            width = min(width, MOST_LOOKED_AT - looked_at)
            low, left = max(0, edge - width), limit - len(records)
            looked_at += width
            some = found.events(low, edge, topic, left, newest_first=True)
            records += some
            edge = low if some else found.before_gap(low)
            width = min(2 * width, WIDEST_WINDOW)
        if len(records) == limit:
            edge = (records[-1].position or 1) - 1
        return Page(records[::-1], edge, high, last)

    return read(datastore, look)


def following(
    datastore: SQLAlchemyDatastore,
    application: str,
    *,
    after: int,
    topic: str | None = None,
    limit: int = 50,
) -> Page:
    """The first events of an application after a position.

    Args:
        datastore: the database.
        application: name of the application.
        after: the position; 0 for the beginning.
        topic: as in `newest()`: `newer` tells where to go on.
        limit: number of events at the most, 1 or more.

    Raises:
        UnknownNameError: if there is no such application.
        PersistenceError: if the database fails.
    """
    checked_count("limit", limit)

    def look(reader: Reader) -> Page:
        found = ApplicationReader(reader, application)
        edge, last = max(0, after), found.last_position
        looked_at = 0
        records: list[StoredRecord] = []
        width = limit
        while edge < last and looked_at < MOST_LOOKED_AT and len(records) < limit:
            width = min(width, MOST_LOOKED_AT - looked_at)
            high, left = min(last, edge + width), limit - len(records)
            looked_at += width
            some = found.events(edge, high, topic, left, newest_first=False)
            records += some
            edge = high if some else found.after_gap(high)
            width = min(2 * width, WIDEST_WINDOW)
        if len(records) == limit:
            edge = records[-1].position or 0
        return Page(records, max(0, after), edge, last)

    return read(datastore, look)


def follow(
    datastore: SQLAlchemyDatastore,
    application: str,
    *,
    after: int,
    topic: str | None = None,
    stopping: Event,
) -> Iterator[StoredRecord]:
    """The events of an application after a position, and those to come.

    Asks every half a second; between two looks, it holds no connection.

    Args:
        datastore: the database.
        application: name of the application.
        after: the position; 0 for the beginning.
        topic: of the events; None for all.
        stopping: ends the iteration when it is set.

    Raises:
        UnknownNameError: if there is no such application.
        PersistenceError: if the database fails.
    """
    while not stopping.is_set():
        page = following(datastore, application, after=after, topic=topic)
        after = page.high
        yield from page.events
        if page.newer is None:
            stopping.wait(FOLLOW_PAUSE)


def event_at(
    datastore: SQLAlchemyDatastore, application: str, position: int
) -> StoredRecord:
    """The event at a position, with a state of up to 4 MiB.

    Args:
        datastore: the database.
        application: name of the application.
        position: of the event.

    Raises:
        UnknownNameError: if there is no such event.
        PersistenceError: if the database fails.
    """

    def look(reader: Reader) -> StoredRecord:
        found = ApplicationReader(reader, application).event(position)
        if found is None:
            msg = f"Application {application!r} has no event at position {position}"
            raise UnknownNameError(msg)
        return found

    return read(datastore, look)


@dataclass(frozen=True)
class AggregateHistory:
    """What is stored of an aggregate.

    Attributes:
        events: in the order of versions.
        snapshots: in the order of versions.
    """

    events: Sequence[StoredRecord]
    snapshots: Sequence[StoredRecord]


def aggregate_history(
    datastore: SQLAlchemyDatastore,
    application: str,
    aggregate_id: str,
    *,
    after: int = 0,
    limit: int = 1000,
) -> AggregateHistory:
    """The newest events, and snapshots, of an aggregate.

    Args:
        datastore: the database.
        application: name of the application.
        aggregate_id: as text, also if it is a UUID.
        after: only events at positions above.
        limit: number of events, and of snapshots, at the most.

    Raises:
        UnknownNameError: if there is no such application, or nothing of the aggregate.
        PersistenceError: if the database fails.
    """
    checked_count("limit", limit)

    def look(reader: Reader) -> AggregateHistory:
        found = ApplicationReader(reader, application)
        events, snapshots = found.history(aggregate_id, after, limit)
        if not after and not events and not snapshots:
            msg = f"Application {application!r} has no aggregate {aggregate_id!r}"
            raise UnknownNameError(msg)
        return AggregateHistory(events[::-1], snapshots[::-1])

    return read(datastore, look)
