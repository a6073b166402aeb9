"""What is stored, and what follows from it: a replay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select

from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.schema.tables import applications, events
from soak.journal import Entry
from soak.projections import AUDITED, CLOSED, OPENED, is_poison
from soak.totals import Replay

PAGE = 10_000


class Stored(NamedTuple):
    """An event."""

    position: int
    account_id: UUID
    version: int
    topic: str


def read(recorder: SQLAlchemyApplicationRecorder) -> Iterator[Stored]:
    """All events of an application, not by what is to be tested."""
    columns = events.c
    query = (
        select(
            columns.notification_id,
            columns.originator_id,
            columns.originator_version,
            columns.topic,
        )
        .join(applications, applications.c.id == columns.application_id)
        .where(applications.c.name == recorder.name)
        .order_by(columns.notification_id)
        .limit(PAGE)
    )
    position = 0
    while True:
        with recorder.datastore.reading() as connection:
            page = connection.execute(query.where(columns.notification_id > position))
            rows = [Stored(*row) for row in page]
        if not rows:
            return
        yield from rows
        position = rows[-1].position


@dataclass
class Log:
    """What the events come to.

    Args:
        acknowledged: by the writers.

    Attributes:
        count: number of events.
        gaps: number of positions that are not the next.
        lost: acknowledged events that are not where they are said to be.
        everything: what the projection of that name has to come to.
        closings: likewise.
        audits: positions.
        poison: those of audits that fail at first.
        openings: positions.
    """

    acknowledged: Iterable[Entry]
    count: int = 0
    gaps: int = 0
    lost: int = 0
    everything: Replay = field(default_factory=Replay)
    closings: Replay = field(default_factory=Replay)
    audits: list[int] = field(default_factory=list)
    poison: list[int] = field(default_factory=list)
    openings: list[int] = field(default_factory=list)

    def take(self, events: Iterable[Stored]) -> None:
        """Replay all events."""
        due = _events_of(self.acknowledged)
        next_due = next(due, None)
        for event in events:
            self._count(event)
            while next_due is not None and next_due[0] <= event.position:
                self.lost += next_due != event[:3]
                next_due = next(due, None)
        self.lost += (next_due is not None) + sum(1 for _ in due)

    def _count(self, event: Stored) -> None:
        self.count += 1
        self.gaps += event.position != self.count
        position, account_id, _, topic = event
        self.everything.count(account_id, position)
        if topic == CLOSED:
            self.closings.count(account_id, position)
        elif topic == AUDITED:
            self.audits.append(position)
            if is_poison(account_id):
                self.poison.append(position)
        elif topic == OPENED:
            self.openings.append(position)


def _events_of(entries: Iterable[Entry]) -> Iterator[tuple[int, UUID, int]]:
    for entry in sorted(entries):
        for number in range(entry.events):
            yield entry.position + number, entry.account_id, entry.version + number
