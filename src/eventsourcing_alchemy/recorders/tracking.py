"""The position of a projection in each application that it follows."""

from functools import partial
from threading import Event
from time import monotonic, sleep
from typing import Any

from sqlalchemy import Connection, exc

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.parts import Part, part_of
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.database.wakeups import hints
from eventsourcing_alchemy.errors import AlreadyProcessedError, is_about_constraint
from eventsourcing_alchemy.host import (
    PersistenceError,
    Tracking,
    TrackingRecorder,
    WaitInterruptedError,
)
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.recorders.known_positions import KnownPositions
from eventsourcing_alchemy.recorders.shared_tracking import shared_tracking
from eventsourcing_alchemy.recorders.tracking_modes import current_mode
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.validation import (
    checked_bound,
    checked_name,
    checked_tracking,
)
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.tracking import (
    LOWEST,
    advance_tracking,
    insert_tracking,
    lock_tracking,
    tracked_position,
)
from eventsourcing_alchemy.upserts.targets import target_of

SHORTEST_PAUSE = 0.001
"""Seconds between two looks at the position in `wait()`, at first."""

LONGEST_PAUSE = 0.05
"""Seconds between two looks at the position in `wait()`, after a while."""


class SQLAlchemyTrackingRecorder(SQLAlchemyRecorder, TrackingRecorder):
    """Records the position that a projection has reached, each position once.

    A constraint of the database decides, so this holds for any number of processes:
    what one process has processed is refused to all others.

    Args:
        datastore: the database.
        name: the name of the projection.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        super().__init__(datastore, name)
        self._topic = (datastore.database, "tracking", name)
        shared = shared_tracking(datastore, name)
        self._committed = shared.committed
        self.known = KnownPositions(name)
        self.in_batch = shared.in_batch
        self.target = target_of(
            tables.tracking, datastore.engine.dialect, datastore.schemas
        )

    def insert_tracking(self, tracking: Tracking) -> None:
        """Records that an event was processed.

        Args:
            tracking: the name of the application, and the position of the event.

        Raises:
            IntegrityError: if this position, or a higher one, is already recorded.
        """
        self._refuse_beside_batch(tracking)
        name, position = tracking.application_name, tracking.notification_id
        self.datastore.retrying(
            lambda: self._track_alone(tracking),
            lambda: self.has_tracking_id(name, position) or None,
        )

    def _track_alone(self, tracking: Tracking) -> bool:
        if self.datastore.is_in_transaction():
            with self.transaction() as connection:
                self._track(connection, tracking)
        else:
            self.datastore.alone(lambda executor: self._advance(executor, tracking))
            self._has_tracked(tracking)
        return True

    def _refuse_beside_batch(self, tracking: Tracking) -> None:
        """Before anything waits for a lock that the batch holds, which waits for it.

        Raises:
            ProgrammingError: if a batch is processing this event, in a transaction that
                the calling code is not inside.
        """
        current = self.in_batch.tracking
        if (
            current is not None
            and tracking == current
            and not self.datastore.is_in_transaction()
        ):
            self.in_batch.refuse()

    def _track(self, connection: Connection, tracking: Tracking) -> None:
        self.in_batch.track(tracking, connection)
        mode = current_mode(connection, self.name)
        if mode is None:
            self.advance_tracking(connection, tracking)
        else:
            mode.track(self, connection, tracking)

    def advance_tracking(self, connection: Connection, tracking: Tracking) -> None:
        """Records a position, in the transaction of a connection.

        Raises:
            IntegrityError: as `insert_tracking()`.
        """
        with self.datastore.executing(connection, takes_locks=True) as executor:
            self._advance(executor, tracking)
        self._has_tracked(tracking, part_of(self.datastore.engine, connection))

    def _has_tracked(self, tracking: Tracking, part: Part | None = None) -> None:
        """Has it known, once the transaction has committed.

        Args:
            tracking: the application's name, and the position.
            part: of a transaction; None if it cannot be rolled back any more.
        """
        self.datastore.after_commit(partial(self._note, tracking, part))

    def _note(self, tracking: Tracking, part: Part | None) -> None:
        name, position = tracking.application_name, tracking.notification_id
        self._committed.note(tracking, part)
        if part is None:
            self.known.expect(name, position)
        hints.wake(self._topic)

    def has_committed(self, tracking: Tracking) -> bool | None:
        """Whether a recorder of this datastore has recorded the position.

        Args:
            tracking: the application's name, and the position; not one before the last.

        Returns:
            None if only the database knows: the caller has not committed yet, say.
        """
        return self._committed.has(tracking)

    def forget_committed(self, application_name: str) -> None:
        """Has `has_committed()` tell about the time from now on."""
        self._committed.forget(application_name)

    def _advance(self, executor: Executor, tracking: Tracking) -> None:
        # Each statement decides by itself, so they may be transactions of their own.
        parameters = self._parameters(tracking)
        if not executor.execute(advance_tracking(), parameters).rowcount:
            self._refuse_if_lost(
                executor, tracking.application_name, parameters["known"]
            )
            self._insert_tracking(executor, tracking)

    def _refuse_if_lost(
        self, executor: Executor, application_name: str, known: int
    ) -> None:
        """Makes sure that a position that was known before is there."""
        if known > LOWEST:
            key = self._key(application_name)
            position = executor.scalar(tracked_position(), key)
            self.known.check(application_name, known, position)

    def lock_tracking(self, connection: Connection, application_name: str) -> None:
        """Waits for those who are recording a position, and makes others wait."""
        key = self._key(application_name)
        with self.datastore.executing(connection, takes_locks=True) as executor:
            executor.execute(lock_tracking(), key)

    def already_processed(self, tracking: Tracking) -> AlreadyProcessedError:
        """The error for an event that is tracked already."""
        msg = (
            f"Projection {self.name!r} has already processed position "
            f"{tracking.notification_id} of {tracking.application_name!r}"
        )
        return AlreadyProcessedError(msg)

    def _parameters(self, tracking: Tracking) -> dict[str, Any]:
        """Those of `advance_tracking()`."""
        name = checked_tracking(tracking).application_name
        return {
            "projection": self.name,
            "application": name,
            "position": tracking.notification_id,
            "known": self.known.lowest(name),
        }

    def _key(self, application_name: str) -> dict[str, str]:
        name = checked_name("The application's name", application_name)
        return {"projection": self.name, "application": name}

    def _insert_tracking(self, executor: Executor, tracking: Tracking) -> None:
        row = {
            "projection_name_": self.name,
            "application_name_": tracking.application_name,
            "notification_id_": tracking.notification_id,
        }
        try:
            executor.execute(insert_tracking(), row)
        except exc.DBAPIError as error:
            if not is_about_constraint(error):
                raise
            raise self.already_processed(tracking) from error

    def max_tracking_id(self, application_name: str) -> int | None:
        """Returns the position that the projection has reached, or None.

        Args:
            application_name: the name of the application that it follows.
        """
        return self.datastore.retrying(lambda: self.position_now(application_name))

    def position_now(self, application_name: str) -> int | None:
        """As `max_tracking_id()`, by one try."""
        parameters = self._key(application_name)
        with self.datastore.statement() as executor:
            position: int | None = executor.scalar(tracked_position(), parameters)
            return position

    @apart_from_sessions()
    def wait(
        self,
        application_name: str,
        notification_id: int | None,
        timeout: float = 1.0,
        interrupt: Event | None = None,
    ) -> None:
        """Waits until the projection has reached a position.

        In the process that commits the position, `wait()` returns at once. In others,
        it returns within 50 ms after the commit.

        Args:
            application_name: the name of the application that recorded the event.
            notification_id: the position of the event; None returns at once.
            timeout: the maximum time to wait, in seconds.
            interrupt: set this event to end the wait.

        Raises:
            TimeoutError: if the projection does not reach the position in time.
            WaitInterruptedError: if `interrupt` is set first.
        """
        checked_bound("notification_id", notification_id)
        started = monotonic()
        hinted = False
        with hints.waiting(self._topic) as waiter:
            while not self._has_reached(application_name, notification_id):
                if interrupt is not None and interrupt.is_set():
                    raise WaitInterruptedError
                waited = monotonic() - started
                if waited >= timeout:
                    msg = (
                        f"Projection {self.name!r} has not processed position "
                        f"{notification_id} of {application_name!r} in {timeout:g} s"
                    )
                    raise TimeoutError(msg)
                pause = max(waited / 20, SHORTEST_PAUSE)
                pause = min(pause, LONGEST_PAUSE, timeout - waited)
                if hinted:
                    # Commits follow each other: not every one is worth a look.
                    sleep(pause)
                    hinted = False
                else:
                    hinted = waiter.wait(pause) is not None

    def is_awaited(self) -> bool:
        """Whether this process is in `wait()` for a position of this projection."""
        return hints.are_awaited(self._topic)

    def _has_reached(self, application_name: str, notification_id: int | None) -> bool:
        if notification_id is None:
            return True
        try:
            position = self.position_now(application_name)
        except PersistenceError as error:
            kind = error_kind_of(error, self.datastore.dialect)
            if kind in {ErrorKind.LASTING, ErrorKind.REFUSED}:
                raise
            return False
        return position is not None and position >= notification_id
