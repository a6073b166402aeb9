"""A statement that is declared once, and executed with parameters."""

from eventsourcing.persistence import Tracking
from sqlalchemy import bindparam

from benchmarks.forms import counts, metadata
from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert


class DeclaredCounts(SQLAlchemyMaterialisedView):
    """How many events there are of each kind."""

    metadata = metadata
    add = upsert(
        counts,
        {"name": bindparam("name"), "value": 1},
        set_={"value": counts.c.value + 1},
    )

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        with self.processing(tracking) as connection:
            connection.execute(self.add, {"name": name})
