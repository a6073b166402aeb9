"""A view that tells whether each event was processed once, and in its order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, select

from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert

BRANCHES = 50


class Total(NamedTuple):
    """How many events a branch had, and a number that depends on their order."""

    events: int
    checksum: int


def branch_of(account_id: UUID) -> int:
    """Each account belongs to one."""
    return account_id.int % BRANCHES


def chained(checksum: Any, position: int) -> Any:
    """The next checksum: of a number a number, of a column an expression."""
    return (checksum * 31 + position) % 1_000_000_007


class Replay:
    """The same totals in memory, of events as they are stored."""

    def __init__(self) -> None:
        self.totals: defaultdict[int, Total] = defaultdict(lambda: Total(0, 0))

    @property
    def events(self) -> int:
        """Of all branches."""
        return sum(total.events for total in self.totals.values())

    def count(self, account_id: UUID, position: int) -> None:
        branch = branch_of(account_id)
        events, checksum = self.totals[branch]
        self.totals[branch] = Total(events + 1, chained(checksum, position))


class Totals(SQLAlchemyMaterialisedView):
    """The totals of all branches, for each projection."""

    metadata: ClassVar[MetaData] = MetaData()
    totals = Table(
        "totals",
        metadata,
        Column("projection", String(50), primary_key=True),
        Column("branch", Integer, primary_key=True, autoincrement=False),
        Column("events", Integer, nullable=False),
        Column("checksum", BigInteger, nullable=False),
    )

    def count(self, account_id: UUID, tracking: Tracking) -> None:
        key = {"projection": self.name, "branch": branch_of(account_id)}
        position, columns = tracking.notification_id, self.totals.c
        first = {"events": 1, "checksum": chained(0, position)}
        further = {
            "events": columns.events + 1,
            "checksum": chained(columns.checksum, position),
        }
        with self.processing(tracking) as connection:
            connection.execute(upsert(self.totals, key | first, set_=further))

    def all(self) -> Mapping[int, Total]:
        columns = self.totals.c
        query = select(columns.branch, columns.events, columns.checksum)
        with self.reading() as connection:
            rows = connection.execute(query.where(columns.projection == self.name))
            return {branch: Total(*total) for branch, *total in rows}


class Counting(Projection[Totals]):
    """Counts every event."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.count(domain_event.originator_id, tracking)


class CountingTagged(Projection[Totals]):
    """Counts every event by its first tag."""

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.count(UUID(domain_event.tags[0]), tracking)
