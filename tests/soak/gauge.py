"""How far everybody is."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import create_engine, func, select

from eventsourcing_alchemy.schema.tables import applications, dcb_tags, tracking
from soak.bank import Bank
from soak.journal import Journal
from soak.projections import RUNNERS, Bookings
from soak.theatre import SHOWS, Theatre

WRITTEN, BOOKED = "written", "booked"
"""By those who write, and to be followed."""

SHOW, FOLLOWED = "a show", "followed"
"""To be followed, and followed."""

GOALS: Mapping[str, str] = {
    **dict.fromkeys(RUNNERS, WRITTEN),
    Bookings.name: BOOKED,
    FOLLOWED: SHOW,
}
"""Up to where each has to come who follows."""


class Gauge:
    """Reads positions, past what is to be tested.

    Args:
        url: of the database.
        followed: what the follower of a show has seen.

    Attributes:
        positions: as they were seen last, of those who write, and those who follow.
    """

    def __init__(self, url: str, followed: Journal) -> None:
        self.positions = dict.fromkeys([WRITTEN, BOOKED, SHOW, *GOALS], 0)
        self._followed = followed
        self._engine = create_engine(url, pool_pre_ping=True)

    def look(self) -> dict[str, int]:
        """The positions. Everything has to be whole."""
        names, columns = {Bank.name: WRITTEN, Theatre.name: BOOKED}, applications.c
        written = select(columns.name, columns.last_notification_id)
        reached = select(tracking.c.projection_name, tracking.c.notification_id)
        of_show = select(func.max(dcb_tags.c.position)).where(
            dcb_tags.c.tag == SHOWS[0]
        )
        with self._engine.connect() as connection:
            positions = dict(connection.execute(reached).tuples().all())
            for name, position in connection.execute(
                written.where(columns.name.in_(names))
            ):
                positions[names[name]] = position
            positions[SHOW] = connection.scalar(of_show) or 0
        last = self._followed.last()
        positions[FOLLOWED] = last.position if last else 0
        self.positions = {**self.positions, **positions}
        return self.positions

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def behind(self) -> set[str]:
        """Those who follow and have work, as was seen last."""
        at = self.positions
        return {name for name, goal in GOALS.items() if at[name] < at[goal]}
