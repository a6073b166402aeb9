"""The position of a projection in each application that it follows."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event
from time import monotonic, sleep

from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    ProgrammingError,
    Tracking,
    TrackingRecorder,
    WaitInterruptedError,
)
from sqlalchemy import Connection, exc, insert

from eventsourcing_alchemy import statements, tables
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.faults import Fault, fault_of
from eventsourcing_alchemy.hints import hints
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.validation import checked_name

SHORTEST_PAUSE = 0.001
"""Seconds between two looks at the position in `wait()`, at first."""

LONGEST_PAUSE = 0.05
"""Seconds between two looks at the position in `wait()`, after a while."""

_redone: ContextVar[tuple[Connection, str, Tracking] | None]
_redone = ContextVar("redone", default=None)


@contextmanager
def redoing(connection: Connection, name: str, tracking: Tracking) -> Iterator[None]:
    """Lets an event be processed that was passed over: it is tracked already.

    Args:
        connection: in the transaction of which the event is processed. In any other,
            the event is refused as ever.
        name: of the projection.
        tracking: the application's name, and the position of the event.
    """
    token = _redone.set((connection, name, tracking))
    try:
        yield
    finally:
        _redone.reset(token)


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
        with self.transaction() as connection:
            self._track(connection, tracking)
        return True

    def _track(self, connection: Connection, tracking: Tracking) -> None:
        key = self._key(tracking.application_name)
        with self.datastore.answering(connection, takes_locks=True):
            if _redone.get() == (connection, self.name, tracking):
                # Moves nothing, but takes turns with those who process other events.
                self._execute(connection, statements.lock_tracking(), key)
                return
            parameters = {**key, "position": tracking.notification_id}
            advance = statements.advance_tracking()
            if not self._execute(connection, advance, parameters).rowcount:
                self._insert_tracking(connection, tracking)
        self.datastore.hint(self._topic)

    def _key(self, application_name: str) -> dict[str, str]:
        name = checked_name("The application's name", application_name)
        return {"projection": self.name, "application": name}

    def _insert_tracking(self, connection: Connection, tracking: Tracking) -> None:
        row = {
            "projection_name": self.name,
            "application_name": tracking.application_name,
            "notification_id": tracking.notification_id,
        }
        try:
            self._execute(connection, insert(tables.tracking), row)
        except exc.IntegrityError as error:
            msg = (
                f"Projection {self.name!r} has already processed position "
                f"{tracking.notification_id} of {tracking.application_name!r}"
            )
            raise IntegrityError(msg) from error

    def max_tracking_id(self, application_name: str) -> int | None:
        """The position that was reached in an application, None before the first.

        Args:
            application_name: of the application.
        """
        return self.datastore.retrying(lambda: self._position(application_name))

    def _position(self, application_name: str) -> int | None:
        parameters = self._key(application_name)
        with self.datastore.statement() as connection:
            result = self._execute(
                connection, statements.tracked_position(), parameters
            )
            position: int | None = result.scalar()
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
