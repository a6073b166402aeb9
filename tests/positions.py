"""A view that shows what was missed, and what was processed twice."""

from __future__ import annotations

from typing import ClassVar

from eventsourcing.persistence import Tracking
from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, select

from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert


class Positions(SQLAlchemyMaterialisedView):
    """How often each position was processed."""

    metadata: ClassVar[MetaData] = MetaData()
    positions = Table(
        "positions",
        metadata,
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("times", Integer, nullable=False),
    )

    def note(self, tracking: Tracking) -> None:
        table = self.positions
        row = {"position": tracking.notification_id, "times": 1}
        self.process(tracking, upsert(table, row, set_={"times": table.c.times + 1}))

    def all(self) -> dict[int, int]:
        columns = self.positions.c
        with self.reading() as connection:
            rows = connection.execute(select(columns.position, columns.times))
            return {row.position: row.times for row in rows}
