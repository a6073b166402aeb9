"""Copying an application into the tables of this package."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from threading import Event

from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.transfer.checks import check_events
from eventsourcing_alchemy.operations.transfer.collector import spared_collections
from eventsourcing_alchemy.operations.transfer.log import Log
from eventsourcing_alchemy.operations.transfer.opened_target import (
    existing_target,
    opened_target,
)
from eventsourcing_alchemy.operations.transfer.progress import Listener
from eventsourcing_alchemy.operations.transfer.run import Copied, CopyRun
from eventsourcing_alchemy.operations.transfer.snapshot_copy import SnapshotCopy
from eventsourcing_alchemy.operations.transfer.source import (
    Source,
    opened_positions,
    opened_source,
)
from eventsourcing_alchemy.operations.transfer.sources.alchemy import SNAPSHOTS
from eventsourcing_alchemy.operations.transfer.target import Target
from eventsourcing_alchemy.statements.tracking import LOWEST

FOLLOWING_INTERVAL = 0.5
"""Seconds between two looks for new events."""


def copy(
    source: Mapping[str, str],
    target: Mapping[str, str],
    application: str,
    projections: Sequence[str] = (),
    *,
    follow: bool = False,
    stop: Event | None = None,
    progress: Listener | None = None,
) -> Copied:
    """Copies an application into the tables of this package, and verifies the copy.

    Events keep their positions, including gaps. The target gives no position again that
    the source has given to an event that was deleted since, as far as the database of
    the source tells (row numbers of SQLite do not), or a copied projection has reached.
    Events are copied as they are stored, so encrypted and compressed ones too.
    `recorded_at` is copied from another database of this package; otherwise, it is the
    time of the copy.

    `copy()` commits after every page. If you call it again, after an error or a kill or
    for new events, it continues where it was. At the end, it compares every event of
    both sides; snapshots, as it copies them.

    Args:
        source: the settings of the source: the library's environment variables,
            including `PERSISTENCE_MODULE`, which may be `eventsourcing.postgres`,
            `eventsourcing.sqlite`, `eventsourcing.dcb.postgres_tt`,
            `eventsourcing_sqlalchemy` (1.0), or `eventsourcing_alchemy` with another
            database or schema. `os.environ` is not read.
        target: the settings of the target.
        application: the name of the application, in both settings.
        projections: the names of projections whose positions to copy, in all
            applications that they follow.
        follow: whether to keep copying new events until `stop` is set. Stop the
            writers before you set it: what they record after that is not copied.
        stop: set this event to end `follow`. Without it, only an exception ends it,
            such as `KeyboardInterrupt`; call `copy()` again to copy the rest.
        progress: called with a `CopyProgress` after each page.

    Returns:
        What was copied.

    Raises:
        ConfigurationError: if settings are missing, or cannot be used; if both lead
            to the same tables.
        ProgrammingError: if the application or a projection is not in the source.
        CopyRefusedError: if the application in the target has events of its own, or had
            such, which were deleted; if that in the source has events of several kinds;
            if a projection is further ahead in the target.
        IntegrityError: if somebody else records events in the target meanwhile.
        DataError: if a record of the source cannot be read, or stored: an ID is no
            UUID, and `ORIGINATOR_ID_TYPE` is not `text`; a topic or ID is too long; a
            value is not of the type of its column; a position is below 1. It names the
            position.
        VerificationError: if the two sides differ. It names positions.
        OperationalError: if a database cannot be reached.
    """
    with ExitStack() as stack:
        there = stack.enter_context(opened_source(source, application))
        _check_beginning(there.log)
        here = stack.enter_context(
            opened_target(
                target,
                application,
                there.log.layout,
                tells_time=there.log.tells_time,
            )
        )
        _refuse_itself(there, here)
        followed = [
            stack.enter_context(opened_positions(source, projection))
            for projection in projections
        ]
        stack.enter_context(spared_collections())
        run = CopyRun(there, here, _snapshots(there, here), followed, progress)
        run.refuse_events_of_its_own()
        run.copy_all()
        if follow:
            _follow(run, stop or Event())
        return run.result()


def compare(
    source: Mapping[str, str],
    target: Mapping[str, str],
    application: str,
    *,
    progress: Listener | None = None,
) -> Iterator[Discrepancy]:
    """Compares a copied application with its source, and writes nothing.

    Args:
        source: as in `copy()`.
        target: as in `copy()`.
        application: as in `copy()`.
        progress: as in `copy()`.

    Yields:
        The differences between events, and between the last positions that were given,
        in the order of positions; then those between snapshots.

    Raises:
        ConfigurationError: if settings are missing, or cannot be used; if both lead
            to the same tables.
        ProgrammingError: if the application is missing on one side.
        DataError: if a record cannot be read. It names the side and the position.
        OperationalError: if a database cannot be reached.
    """
    with ExitStack() as stack:
        there = stack.enter_context(opened_source(source, application))
        layout, tells_time = there.log.layout, there.log.tells_time
        here = stack.enter_context(
            existing_target(target, application, layout, tells_time=tells_time)
        )
        _refuse_itself(there, here)
        stack.enter_context(spared_collections())
        run = CopyRun(there, here, _snapshots(there, here), (), progress)
        yield from run.differences(max(there.log.head(), here.log.head()))


def _refuse_itself(source: Source, target: Target) -> None:
    if source.log.place == target.log.place:
        raise ConfigurationError(
            f"The settings of source and target lead to the same tables, so there is "
            f"nothing to copy or compare for {target.name!r}: correct one of them"
        )


def _check_beginning(log: Log) -> None:
    """Looks at the first events before the application is registered in the target."""
    for event in log.page(LOWEST, 0):
        raise DataError(f"Position {event[0]} of the source: positions begin with 1")
    check_events(log.layout, log.page(0, log.head()))


def _follow(run: CopyRun, stop: Event) -> None:
    while not stop.wait(FOLLOWING_INTERVAL):
        run.copy_events()
        run.compare_new_events()
    run.copy_all()


def _snapshots(source: Source, target: Target) -> SnapshotCopy | None:
    if source.snapshots is None:
        return None
    id_type = source.log.layout.id_type
    datastore, table = target.datastore, SNAPSHOTS[id_type]
    return SnapshotCopy(source.snapshots, datastore, table, id_type, target.name)
