"""Rebuilding a view: what is done, in which order."""

import logging
from collections.abc import Callable, Mapping
from threading import Event
from typing import Any, TypeVar

from eventsourcing_alchemy.database.retrying import Endurance
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import (
    OperationalError,
    PersistenceError,
    ProgrammingError,
    Projection,
)
from eventsourcing_alchemy.operations.rebuild.building import Building
from eventsourcing_alchemy.operations.rebuild.checks import check, refuse_unwritten
from eventsourcing_alchemy.operations.rebuild.exclusion import alone
from eventsourcing_alchemy.operations.rebuild.new_view import NewView
from eventsourcing_alchemy.operations.rebuild.patience import Patience
from eventsourcing_alchemy.operations.rebuild.progress import (
    RebuildPhase,
    RebuildProgress,
)
from eventsourcing_alchemy.operations.rebuild.rebuild_row import (
    RebuildRow,
    RebuildRows,
)
from eventsourcing_alchemy.operations.rebuild.switching import Outcome, Switching
from eventsourcing_alchemy.operations.rebuild.unknown_views import warn_of_unknown
from eventsourcing_alchemy.operations.rebuild.view_in_use import (
    AnyApplication,
    ViewClass,
    ViewInUse,
    view_in_use,
)
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy

logger = logging.getLogger("eventsourcing_alchemy")

T = TypeVar("T")

NEARLY = 100
"""Events that are left to the switch, if the rebuild is faster than the runner."""


@apart_from_sessions()
def rebuild(
    *,
    application_class: type[AnyApplication],
    projection_class: type[Projection[Any]],
    view_class: ViewClass,
    env: Mapping[str, str] | None = None,
    progress: Callable[[RebuildProgress], None] | None = None,
    poison: PoisonPolicy | None = None,
    keep_old: bool = False,
    restart: bool = False,
) -> None:
    """Builds a view again beside the one in use, and puts it in its place.

    Readers, writers and runners go on meanwhile. When the new tables have reached the
    position of the runners, they replace the old ones, and the runners continue.

    If a rebuild is interrupted, the view in use stays as it was, or is replaced
    completely. The next call continues where the last one stopped.

    Args:
        application_class: the application whose events to process.
        projection_class: the projection that processes them.
        view_class: the view to build again.
        env: environment variables, in addition to those of the process.
        progress: called with a `RebuildProgress` after each batch.
        poison: what to do when an event cannot be processed. By default, the rebuild
            stops.
        keep_old: whether to keep the old tables, with `__old` appended to their names.
        restart: whether to start again from the first event, if a rebuild was
            interrupted.

    Raises:
        ConfigurationError: if an environment variable cannot be used.
        ProgrammingError: if the view cannot be rebuilt. The message gives the reason
            and the remedy.
        OperationalError: if another process is rebuilding the view. The message names
            it. Also if the disk has been full for half a minute.
        Exception: the error of an event, if the policy is to stop.
    """
    with view_in_use(application_class, projection_class, view_class, env) as in_use:
        warn_of_unknown(in_use)
        new = NewView(in_use)
        try:
            with alone(in_use, new) as lease:
                _Rebuild(
                    in_use,
                    new,
                    projection_class,
                    poison or PoisonPolicy(),
                    lease,
                    progress or (lambda _: None),
                    keeps_old=keep_old,
                ).run_while_there_is_room(restart=restart)
        finally:
            new.datastore.close()


class _Rebuild:
    """A rebuild.

    Args:
        in_use: the view in use.
        new: the new one.
        projection_class: processes the events.
        policy: for events that cannot be processed.
        lease: of the rebuild.
        progress: is told how far it has come.
        keeps_old: whether the old tables stay.
    """

    def __init__(
        self,
        in_use: ViewInUse,
        new: NewView,
        projection_class: type[Projection[Any]],
        policy: PoisonPolicy,
        lease: Lease,
        progress: Callable[[RebuildProgress], None],
        *,
        keeps_old: bool,
    ) -> None:
        self._in_use = in_use
        self._new = new
        self._progress = progress
        self._goal = -NEARLY  # Even if there is but one event.
        self._patience = Patience(new.datastore.dialect)
        self._building = Building(
            new,
            projection_class,
            in_use.application,
            policy,
            lease,
            self._tell,
            self._patience,
        )
        self._rows = RebuildRows(
            in_use.recorder.datastore, in_use.recorder.name, in_use.application.name
        )
        self._switching = Switching(
            in_use, new, self._building, self._rows, keeps_old=keeps_old
        )
        store, never = new.datastore, Event()
        self._endurance = Endurance(
            store.dialect, store.outage, never.wait, never.is_set
        )

    def run_while_there_is_room(self, *, restart: bool) -> None:
        """Does everything that is left to do.

        Raises:
            OperationalError: if there is no room for it.
        """
        try:
            self._run(restart=restart)
        except PersistenceError as error:
            if not self._patience.is_shortage(error):
                raise
            msg = (
                f"There is no room to rebuild {self._in_use}. The view in use is as "
                "it was. Make room, and rebuild again: it continues where it "
                "stopped, or starts again with restart=True. The database says: "
                f"{error}"
            )
            raise OperationalError(msg) from error

    def _run(self, *, restart: bool) -> None:
        outcome = self._endure(lambda: self._recovered(restart=restart))
        if outcome is Outcome.SWITCHED and not restart:
            return
        if restart:
            self._endure(self._undo)
        while self._endure(self._built_and_switched) is Outcome.DOUBTFUL:
            logger.warning(
                "Rebuilding %s again, because the switch was interrupted", self._in_use
            )

    def _endure(self, call: Callable[[], T]) -> T:
        """Calls it until the database lets it succeed."""
        results: list[T] = []
        self._endurance.call(lambda: results.append(call()), self._patience.failed)
        return results[0]

    def _row(self) -> RebuildRow | None:
        with self._in_use.recorder.reading() as connection:
            return self._rows.read(connection)

    def _recovered(self, *, restart: bool) -> Outcome:
        """What became of a rebuild that was interrupted."""
        row = self._row()
        if row is None:
            return Outcome.NOT_SWITCHED
        is_building = row.phase is RebuildPhase.BUILDING
        if row.declaration != self._new.declaration and not (is_building and restart):
            remedy = (
                "start again, with restart=True"
                if is_building
                else "let the release that began it finish it"
            )
            msg = (
                f"A rebuild of {self._in_use} was interrupted, and its tables were "
                f"declared differently: {remedy}"
            )
            raise ProgrammingError(msg)
        return self._switching.recover(row)

    def _built_and_switched(self) -> Outcome:
        is_begun = self._endure(self._row) is not None
        self._endure(lambda: check(self._in_use, self._new, is_begun=is_begun))
        if not is_begun:
            self._begin()
            self._goal = -NEARLY
        elif not (position := self._building.position) or not self._is_complete():
            # Not all of it may have been created, or somebody has dropped it.
            self._endure(self._undo)
            self._begin()
        else:
            logger.warning(
                "Continuing the rebuild of %s after position %d. If the code of the "
                "projection has changed since it began, start again with restart=True",
                self._in_use,
                position,
            )
        self._build()
        self._endure(lambda: refuse_unwritten(self._in_use, self._new))
        self._told(RebuildPhase.SWITCHING, self._goal)
        outcome = self._endure(self._caught_up_and_switched)
        self._told(RebuildPhase.SWITCHED, self._goal)
        return outcome

    def _is_complete(self) -> bool:
        return self._endure(self._new.is_complete)

    def _begin(self) -> None:
        new = [(each.schema, each.new) for each in self._new.tables]
        old = [(each.schema, each.old) for each in self._new.tables]
        row = RebuildRow(RebuildPhase.BUILDING, 0, self._new.declaration, new, old)
        if self._new.datastore.dialect.switches_in_transaction:
            with self._new.datastore.migrating() as connection:
                self._rows.begin(connection, row)
                self._new.create(connection)
            return
        # First what is to be created, so that it is found.
        with self._new.datastore.transaction() as connection:
            self._rows.begin(connection, row)
        with self._new.datastore.migrating() as connection:
            self._new.create(connection)

    def _undo(self) -> None:
        """Drops what a rebuild that was interrupted has made."""
        row = self._row()
        if row is None:
            return
        with self._new.datastore.migrating() as connection:
            self._new.drop(connection, row.tables)
        with self._in_use.recorder.transaction() as connection:
            self._switching.forget(connection)
            self._rows.end(connection)

    def _build(self) -> None:
        """Until it is about as far as the view in use.

        The runner may be as fast. So more is left to the switch each time.
        """
        nearly = NEARLY
        while (position := self._in_use.position or 0) - self._goal > nearly:
            self._goal = position
            self._building.up_to(position)
            nearly *= 2

    def _caught_up_and_switched(self) -> Outcome:
        row = self._row()
        # It may have been done by a COMMIT whose answer was lost.
        outcome = Outcome.SWITCHED if row is None else self._switching.recover(row)
        if outcome is not Outcome.NOT_SWITCHED:
            return outcome
        self._build()
        self._building.deal_with_failed(lambda: self._in_use.position or 0)
        self._switching.attempt()
        return Outcome.SWITCHED

    def _tell(self, position: int) -> None:
        self._told(RebuildPhase.BUILDING, position)

    def _told(self, phase: RebuildPhase, position: int) -> None:
        self._progress(RebuildProgress(phase, position, self._goal))
