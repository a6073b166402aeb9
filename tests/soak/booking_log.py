"""What was booked, and whether each booking was allowed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from eventsourcing.dcb.api import DCBEvent, DCBSequencedEvent
from sqlalchemy import Engine, create_engine, select

from eventsourcing_alchemy.schema.tables import applications, dcb_events
from soak.journal import Entry
from soak.theatre import Theatre
from soak.totals import Replay

PAGE = 10_000


class Booking(NamedTuple):
    """An event."""

    position: int
    number: UUID
    after: int
    shows: tuple[str, ...]


def read(url: str) -> Iterator[Booking]:
    """All bookings, not by what is to be tested."""
    engine = create_engine(url)
    with closing(Theatre({"PERSISTENCE_MODULE": "eventsourcing.dcb.popo"})) as theatre:
        for event in _events(engine):
            booked = theatre.booked(event)
            shows = tuple(event.event.tags)
            yield Booking(event.position, UUID(booked.number), booked.after, shows)
    engine.dispose()


def _events(engine: Engine) -> Iterator[DCBSequencedEvent]:
    columns = dcb_events.c
    query = (
        select(columns.position, columns.type, columns.data, columns.tags)
        .join(applications, applications.c.id == columns.application_id)
        .where(applications.c.name == Theatre.name)
        .order_by(columns.position)
        .limit(PAGE)
    )
    position = 0
    while True:
        with engine.connect() as connection:
            page = connection.execute(query.where(columns.position > position)).all()
        for position, type_, data, tags in page:
            yield DCBSequencedEvent(DCBEvent(type_, data, json.loads(tags)), position)
        if not page:
            return


@dataclass
class BookingLog:
    """What the bookings come to.

    Attributes:
        count: number of events.
        gaps: number of positions that are not the next.
        twice: number of bookings that are stored again.
        missed: number of bookings whose condition must have failed.
        stored: the acknowledgement of each, if there was one.
        replay: what the projection has to come to.
        of_shows: positions by show.
    """

    count: int = 0
    gaps: int = 0
    twice: int = 0
    missed: int = 0
    stored: set[Entry] = field(default_factory=set)
    replay: Replay = field(default_factory=Replay)
    of_shows: dict[str, list[int]] = field(default_factory=dict)

    def take(self, bookings: Iterable[Booking]) -> None:
        """Check all bookings, in their order."""
        numbers = set()
        for position, number, after, shows in bookings:
            self.count += 1
            self.gaps += position != self.count
            self.twice += number in numbers
            numbers.add(number)
            before = [self.of_shows.setdefault(show, []) for show in shows]
            self.missed += any(each and each[-1] > after for each in before)
            for each in before:
                each.append(position)
            self.stored.add(Entry(position, 1, after, number))
            self.replay.count(UUID(shows[0]), position)
