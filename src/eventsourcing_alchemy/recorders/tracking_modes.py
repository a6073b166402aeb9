"""Other ways to track events than one by one, for the time of a transaction."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

from eventsourcing.persistence import Tracking
from sqlalchemy import Connection

if TYPE_CHECKING:
    from eventsourcing_alchemy.recorders.tracking import SQLAlchemyTrackingRecorder


class TrackingMode(Protocol):
    """What to do instead, when a recorder is to track an event."""

    def track(
        self,
        recorder: "SQLAlchemyTrackingRecorder",
        connection: Connection,
        tracking: Tracking,
    ) -> None:
        """Tracks an event.

        Raises:
            IntegrityError: if it has been processed before.
        """

    def reached(self, application_name: str) -> int | None:
        """The position that was reached, if it is not the one that is recorded."""


class Redoing:
    """Lets an event be processed that was passed over: it is tracked already.

    Args:
        tracking: the application's name, and the position of the event.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    def track(
        self,
        recorder: "SQLAlchemyTrackingRecorder",
        connection: Connection,
        tracking: Tracking,
    ) -> None:
        """Tracks any other event as ever."""
        if tracking == self._tracking:
            # Moves nothing, but takes turns with those who process other events.
            recorder.lock_tracking(connection, tracking.application_name)
        else:
            recorder.advance_tracking(connection, tracking)

    def reached(self, application_name: str) -> int | None:  # noqa: ARG002
        """Nothing else than what is recorded."""
        return None


class TrackedTogether:
    """Records the first and the last position of a batch, not those between.

    The first one as ever, before the work: it makes rivals wait, or fails if they were
    faster.
    """

    def __init__(self) -> None:
        self._reached: dict[str, int] = {}
        self._recorded: dict[str, int] = {}

    def track(
        self,
        recorder: "SQLAlchemyTrackingRecorder",
        connection: Connection,
        tracking: Tracking,
    ) -> None:
        """Tracks an event, for which the next ones may stand."""
        name, position = tracking.application_name, tracking.notification_id
        if connection.in_nested_transaction():
            # By itself, because the savepoint may be rolled back.
            recorder.advance_tracking(connection, tracking)
            return
        if name not in self._reached:
            recorder.advance_tracking(connection, tracking)
            self._recorded[name] = position
        elif position <= self._reached[name]:
            raise recorder.already_processed(tracking)
        self._reached[name] = position

    def reached(self, application_name: str) -> int | None:
        """The position of the batch's last event so far."""
        return self._reached.get(application_name)

    def record(
        self, recorder: "SQLAlchemyTrackingRecorder", connection: Connection
    ) -> None:
        """Records the positions that were reached."""
        for name, position in self._reached.items():
            if position > self._recorded[name]:
                recorder.advance_tracking(connection, Tracking(name, position))


_mode: ContextVar[tuple[Connection, str, TrackingMode] | None]
_mode = ContextVar("tracking_mode", default=None)


@contextmanager
def tracking_mode(
    connection: Connection, name: str, mode: TrackingMode
) -> Iterator[None]:
    """Changes how events are tracked, in the block.

    Args:
        connection: in the transaction of which they are processed. In any other, they
            are tracked as ever.
        name: of the projection.
        mode: how to track them.
    """
    token = _mode.set((connection, name, mode))
    try:
        yield
    finally:
        _mode.reset(token)


def current_mode(connection: Connection | None, name: str) -> TrackingMode | None:
    """How to track events, None for one by one.

    Args:
        connection: in the transaction of which an event is processed.
        name: of the projection.
    """
    current = _mode.get()
    if current is None or current[0] is not connection or current[1] != name:
        return None
    return current[2]
