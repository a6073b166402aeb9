"""How far everybody is."""

from __future__ import annotations

from sqlalchemy import create_engine, select

from eventsourcing_alchemy.tables import applications, tracking
from soak.bank import Bank
from soak.projections import RUNNERS

WRITERS = "written"


class Gauge:
    """Reads positions, past what is to be tested.

    Args:
        url: of the database.

    Attributes:
        positions: as they were seen last, of the writers and of each projection.
    """

    def __init__(self, url: str) -> None:
        self.positions = dict.fromkeys([WRITERS, *RUNNERS], 0)
        self._engine = create_engine(url, pool_pre_ping=True)

    def look(self) -> dict[str, int]:
        """The positions. Everything has to be whole."""
        columns = applications.c
        written = select(columns.last_notification_id).where(columns.name == Bank.name)
        reached = select(tracking.c.projection_name, tracking.c.notification_id)
        with self._engine.connect() as connection:
            position = connection.scalar(written)
            rows = connection.execute(reached).tuples().all()
        self.positions = {**self.positions, **dict(rows), WRITERS: position or 0}
        return self.positions

    def close(self) -> None:
        """Close the connection."""
        self._engine.dispose()

    def behind(self) -> set[str]:
        """The projections that have work, as was seen last."""
        written = self.positions[WRITERS]
        return {name for name in RUNNERS if self.positions[name] < written}
