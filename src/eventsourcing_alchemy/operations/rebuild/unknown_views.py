"""Views of projections of which the process knows nothing but a position."""

import logging

from sqlalchemy import select

from eventsourcing_alchemy.operations.rebuild.new_view import is_name_while_built
from eventsourcing_alchemy.operations.rebuild.shared_tables import known_projections
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.schema.tables import tracking

logger = logging.getLogger("eventsourcing_alchemy")


def warn_of_unknown(in_use: ViewInUse) -> None:
    """Tells of projections whose views may have any of the tables, too.

    Args:
        in_use: the view whose tables are to be replaced, or emptied.
    """
    query = select(tracking.c.projection_name).distinct()
    options = in_use.recorder.datastore.options
    with in_use.recorder.reading() as connection:
        names = {*connection.scalars(query, execution_options=options)}
    names -= {in_use.recorder.name, *known_projections()}
    unknown = [repr(name) for name in sorted(names) if not is_name_while_built(name)]
    if unknown:
        logger.warning(
            "This process has not imported the projections %s, which have processed "
            "events in this database: if one of their views has tables of %s too, it "
            "loses their rows",
            ", ".join(unknown),
            in_use.view_class.__name__,
        )
