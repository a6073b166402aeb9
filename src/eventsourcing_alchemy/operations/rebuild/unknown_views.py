"""Views of projections of which the process knows nothing but a position."""

import logging

from eventsourcing_alchemy.operations.rebuild.shared_tables import (
    known_projections,
    other_projections,
)
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse

logger = logging.getLogger("eventsourcing_alchemy")


def warn_of_unknown(in_use: ViewInUse) -> None:
    """Tells of projections whose views may have any of the tables, too.

    Args:
        in_use: the view whose tables are to be replaced, or emptied.
    """
    others = in_use.found(lambda connection: other_projections(connection, in_use))
    known = known_projections()
    if unknown := [repr(name) for name in others if name not in known]:
        logger.warning(
            "This process has not imported the projections %s, which have processed "
            "events in this database: if one of their views has tables of %s too, it "
            "loses their rows",
            ", ".join(unknown),
            in_use.view_class.__name__,
        )
