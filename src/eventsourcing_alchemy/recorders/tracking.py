"""The position of a projection in each application that it follows."""

from threading import Event
from time import monotonic, sleep
from typing import Any

from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    ProgrammingError,
    Tracking,
    TrackingRecorder,
    WaitInterruptedError,
)
from sqlalchemy import Connection, exc

from eventsourcing_alchemy import statements
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.executors import Executor
from eventsourcing_alchemy.faults import Fault, fault_of
from eventsourcing_alchemy.hints import hints
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.recorders.tracking_modes import current_mode
from eventsourcing_alchemy.validation import checked_name

SHORTEST_PAUSE = 0.001
"""Seconds between two looks at the position in `wait()`, at first."""

LONGEST_PAUSE = 0.05
"""Seconds between two looks at the position in `wait()`, after a while."""


def sql_recorder(recorder: TrackingRecorder) -> "SQLAlchemyTrackingRecorder":
    """The recorder, if it is one of this package.

    Raises:
        ProgrammingError: if it is not.
    """
    if isinstance(recorder, SQLAlchemyTrackingRecorder):
        return recorder
    msg = (
        f"{recorder!r} is not a recorder of this package: set PERSISTENCE_MODULE for "
        f"the projection"
    )
    raise ProgrammingError(msg)


class SQLAlchemyTrackingRecorder(SQLAlchemyRecorder, TrackingRecorder):
    """Records which events have been processed, each once.

    A constraint decides, so this holds for any number of processes: what was
    processed by one is refused to all others.

    Args:
        datastore: the database.
        name: of the projection.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        super().__init__(datastore, name)
        self._topic = (datastore.database, "tracking", name)

    def insert_tracking(self, tracking: Tracking) -> None:
        """Records that an event was processed.

        Args:
            tracking: the application's name, and the position of the event.

        Raises:
            IntegrityError: if this position, or a higher one, is recorded already.
        """
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
            with self.datastore.writing_alone() as executor:
                self._advance(executor, tracking)
            self.datastore.hint(self._topic)
        return True

    def _track(self, connection: Connection, tracking: Tracking) -> None:
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
        self.datastore.hint(self._topic)

    def _advance(self, executor: Executor, tracking: Tracking) -> None:
        # Each statement decides by itself, so they may be transactions of their own.
        parameters = self._parameters(tracking)
        if not executor.execute(statements.advance_tracking(), parameters).rowcount:
            self._insert_tracking(executor, tracking)

    def lock_tracking(self, connection: Connection, application_name: str) -> None:
        """Waits for those who are recording a position, and makes others wait."""
        key = self._key(application_name)
        with self.datastore.executing(connection, takes_locks=True) as executor:
            executor.execute(statements.lock_tracking(), key)

    def already_processed(self, tracking: Tracking) -> IntegrityError:
        """The error for an event that is tracked already."""
        msg = (
            f"Projection {self.name!r} has already processed position "
            f"{tracking.notification_id} of {tracking.application_name!r}"
        )
        return IntegrityError(msg)

    def _parameters(self, tracking: Tracking) -> dict[str, Any]:
        """Those of `statements.advance_tracking()`."""
        key = self._key(tracking.application_name)
        return {**key, "position": tracking.notification_id}

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
            executor.execute(statements.insert_tracking(), row)
        except exc.IntegrityError as error:
            raise self.already_processed(tracking) from error

    def max_tracking_id(self, application_name: str) -> int | None:
        """The position that was reached in an application, None before the first.

        Args:
            application_name: of the application.
        """
        return self.datastore.retrying(lambda: self._position(application_name))

    def _position(self, application_name: str) -> int | None:
        parameters = self._key(application_name)
        with self.datastore.statement() as executor:
            mode = current_mode(executor.connection, self.name)
            reached = mode.reached(application_name) if mode is not None else None
            if reached is not None:
                return reached
            position: int | None = executor.scalar(
                statements.tracked_position(), parameters
            )
            return position

    def wait(
        self,
        application_name: str,
        notification_id: int | None,
        timeout: float = 1.0,
        interrupt: Event | None = None,
    ) -> None:
        """Waits until a position has been processed.

        Returns within a twentieth of the time that it took, and at most 50 ms, after
        the commit; at once where that is the next commit of this process.

        Args:
            application_name: of the application.
            notification_id: the position; None for none.
            timeout: seconds to wait at the most.
            interrupt: ends the wait when it is set.

        Raises:
            TimeoutError: if it has not been processed in time.
            WaitInterruptedError: if `interrupt` is set before.
        """
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
                    hinted = waiter.wait(pause)

    def _has_reached(self, application_name: str, notification_id: int | None) -> bool:
        if notification_id is None:
            return True
        try:
            position = self._position(application_name)
        except PersistenceError as error:
            if fault_of(error, self.datastore.dialect) is not Fault.OUTAGE:
                raise
            return False
        return position is not None and position >= notification_id
