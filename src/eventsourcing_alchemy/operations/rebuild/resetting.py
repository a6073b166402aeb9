"""Emptying a view, and forgetting its position."""

from collections.abc import Mapping
from functools import partial
from threading import Event
from typing import Any

from sqlalchemy import delete

from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import ProgrammingError, Projection
from eventsourcing_alchemy.operations.rebuild.exclusion import ViewBusyError
from eventsourcing_alchemy.operations.rebuild.rebuild_row import RebuildRows
from eventsourcing_alchemy.operations.rebuild.shared_tables import (
    refuse_database_views,
    refuse_other_applications,
    refuse_shared_tables,
)
from eventsourcing_alchemy.operations.rebuild.unknown_views import warn_of_unknown
from eventsourcing_alchemy.operations.rebuild.view_in_use import (
    AnyApplication,
    ViewClass,
    ViewInUse,
    view_in_use,
)
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.schema.tables import dead_letters, tracking


@apart_from_sessions()
def reset(
    *,
    application_class: type[AnyApplication],
    projection_class: type[Projection[Any]],
    view_class: ViewClass,
    env: Mapping[str, str] | None = None,
) -> None:
    """Empties a view and deletes its position, so that a runner starts again.

    One transaction deletes all rows of the view's tables, its position and its dead
    letters. Stop the runners first: if one holds the lease, `reset()` raises an error;
    one without a lease stops with an error within seconds.

    Args:
        application_class: the application whose events the view shows.
        projection_class: the projection that processes them.
        view_class: the view to empty.
        env: environment variables, in addition to those of the process.

    Raises:
        ConfigurationError: if an environment variable cannot be used.
        OperationalError: if a runner holds the lease. The message names it.
        ProgrammingError: if a rebuild of the view has begun, another view has one of
            its tables, or the projection also follows another application.
    """
    with view_in_use(application_class, projection_class, view_class, env) as in_use:
        for refuse in (refuse_database_views, refuse_shared_tables):
            in_use.found(partial(refuse, in_use=in_use))
        recorder, name = in_use.recorder, in_use.application.name
        warn_of_unknown(in_use)
        lease = Lease(recorder.datastore, recorder.name, name)
        if not lease.acquire():
            msg = f"{lease.current_holder()} holds {lease}: stop the runners first"
            raise ViewBusyError(msg)
        with lease.holding(Event()):
            recorder.datastore.retrying(lambda: _empty(in_use))


def _empty(in_use: ViewInUse) -> None:
    recorder, name = in_use.recorder, in_use.application.name
    view = in_use.view_class(recorder.datastore, recorder.name)
    rows = RebuildRows(recorder.datastore, recorder.name, name)
    with view.transaction() as connection:
        if rows.read(connection) is not None:
            msg = f"A rebuild of {in_use} has begun: finish or restart it instead"
            raise ProgrammingError(msg)
        refuse_other_applications(connection, in_use, "reset")
        recorder.lock_tracking(connection, name)
        tables = view.own_tables[::-1]
        recorder.datastore.dialect.empty_tables(connection, tables)
        for ours in (dead_letters, tracking):
            statement = delete(ours).where(
                ours.c.projection_name == recorder.name,
                ours.c.application_name == name,
            )
            options = recorder.datastore.options
            connection.execute(statement, execution_options=options)
