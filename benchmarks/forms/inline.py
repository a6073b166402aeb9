"""A statement that is built for each event."""

from eventsourcing.persistence import Tracking

from benchmarks.forms import counts, metadata
from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert


class InlineCounts(SQLAlchemyMaterialisedView):
    """How many events there are of each kind."""

    metadata = metadata

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        with self.processing(tracking) as connection:
            connection.execute(
                upsert(
                    counts,
                    {"name": name, "value": 1},
                    set_={"value": counts.c.value + 1},
                )
            )
