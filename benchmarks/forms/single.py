"""A statement that is all there is to do for an event."""

from eventsourcing.persistence import Tracking
from sqlalchemy import bindparam

from benchmarks.forms import counts, metadata
from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert


class SingleCounts(SQLAlchemyMaterialisedView):
    """How many events there are of each kind."""

    metadata = metadata
    add = upsert(
        counts,
        {"name": bindparam("name"), "value": 1},
        set_={"value": counts.c.value + 1},
    )

    def increment(self, name: str, tracking: Tracking) -> None:
        """Counts one."""
        self.process(tracking, self.add, {"name": name})
