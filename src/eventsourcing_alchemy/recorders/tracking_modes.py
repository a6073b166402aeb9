"""Other ways to track events than one by one, for the time of a transaction."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import NoReturn, Protocol

from sqlalchemy import Connection

from eventsourcing_alchemy.dialects.base.transactions import BEFORE_A_STATEMENT
from eventsourcing_alchemy.host import IntegrityError, ProgrammingError, Tracking
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.upserts.buffer import UpsertBuffer
from eventsourcing_alchemy.upserts.postponed import any_tells
from eventsourcing_alchemy.upserts.targets import Target


class Tracks(Protocol):
    """What a mode needs of a tracking recorder."""

    name: str

    @property
    def target(self) -> Target:
        """The table of the positions."""

    def advance_tracking(self, connection: Connection, tracking: Tracking) -> None:
        """Records a position, in the transaction of a connection."""

    def lock_tracking(self, connection: Connection, application_name: str) -> None:
        """Waits for those who are recording a position, and makes others wait."""

    def already_processed(self, tracking: Tracking) -> IntegrityError:
        """The error for an event that is tracked already."""


class TrackingMode(Protocol):
    """What to do instead, when a recorder is to track an event."""

    def track(
        self,
        recorder: Tracks,
        connection: Connection,
        tracking: Tracking,
    ) -> None:
        """Tracks an event.

        Raises:
            IntegrityError: if it has been processed before.
        """


class Redoing:
    """Lets an event be processed that was passed over: it is tracked already.

    Args:
        tracking: the application's name, and the position of the event.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    def track(
        self,
        recorder: Tracks,
        connection: Connection,
        tracking: Tracking,
    ) -> None:
        """Tracks any other event as ever."""
        if tracking == self._tracking:
            # Moves nothing, but takes turns with those who process other events.
            recorder.lock_tracking(connection, tracking.application_name)
        else:
            recorder.advance_tracking(connection, tracking)


class TrackedTogether:
    """Records the first position of a batch at once, and others when it matters.

    The first one as ever, before the work: it makes rivals wait, or fails if they were
    faster. Any other one before something is executed that may tell, or at the end.

    Args:
        buffer: has it wait.
        is_private: whether nobody else knows that there is such a position. Then only
            a statement tells that names the table, or keeps or undoes a part of the
            transaction.
    """

    def __init__(self, buffer: UpsertBuffer, *, is_private: bool = False) -> None:
        self._buffer = buffer
        self._tells = _names_positions if is_private else any_tells
        self._reached: dict[str, int] = {}

    def track(
        self,
        recorder: Tracks,
        connection: Connection,
        tracking: Tracking,
    ) -> None:
        """Tracks an event, for which the next ones may stand."""
        name, position = tracking.application_name, tracking.notification_id
        if connection.in_nested_transaction():
            # Now, because the savepoint may be rolled back. The database knows.
            self._reached.pop(name, None)
            recorder.advance_tracking(connection, tracking)
        elif name not in self._reached or not self._buffer.is_blind(recorder.target):
            recorder.advance_tracking(connection, tracking)
            self._reached[name] = position
        elif position <= self._reached[name]:
            raise recorder.already_processed(tracking)
        else:
            advance = partial(recorder.advance_tracking, connection, tracking)
            self._buffer.postponed.add((recorder.name, name), advance, self._tells)
            self._reached[name] = position


_TELLING = re.compile(
    rf"\b{re.escape(tables.tracking.name)}\b"
    rf"|^{BEFORE_A_STATEMENT}(?:SAVEPOINT|ROLLBACK|RELEASE)\b",
    re.I | re.S,
)


def _names_positions(statement: str) -> bool:
    return _TELLING.search(statement) is not None


class EventInBatch:
    """The event that a batch is processing, to be tracked in its transaction alone.

    Attributes:
        tracking: the application's name, and the position; None for no event.
        is_tracked: whether it has been tracked.
        is_tracked_elsewhere: whether it was to be tracked outside of the transaction.
    """

    def __init__(self) -> None:
        self.tracking: Tracking | None = None
        self.is_tracked = False
        self.is_tracked_elsewhere = False
        self._connection: Connection | None = None
        self._saves_to_cached = ""

    def begin(self, tracking: Tracking, connection: Connection) -> None:
        """Lets the event be tracked in the transaction of a connection alone."""
        self.tracking = tracking
        self.is_tracked = False
        self._connection = connection
        _in_batches[connection] = self

    def track(self, tracking: Tracking, connection: Connection) -> None:
        """Notes what is to be tracked in a transaction.

        Raises:
            ProgrammingError: if it is the event, in another transaction. That would
                wait for the batch, which waits for it.
        """
        if self.tracking is None or tracking != self.tracking:
            return
        if connection is not self._connection:
            self.refuse()
        self.is_tracked = True

    def end(self) -> None:
        """Ends that.

        Raises:
            ProgrammingError: if it was to be tracked elsewhere, or if aggregates were
                to be saved that a cache would keep, even if that was caught.
        """
        if self._saves_to_cached:
            self.refuse_cached(self._saves_to_cached)
        if self.is_tracked_elsewhere:
            self.refuse()
        self.forget()

    def forget(self) -> None:
        """Has any event tracked as ever, after a batch that failed, say."""
        if self._connection is not None:
            _in_batches.pop(self._connection, None)
        self.tracking = self._connection = None

    def refuse(self) -> NoReturn:
        """Refuses to track it elsewhere, or to read what the batch has not committed.

        Raises:
            ProgrammingError: says why.
        """
        self.is_tracked_elsewhere = True
        msg = (
            f"{self.tracking} is part of a batch, but process_event() tracks it, or "
            "reads, in a transaction of its own, or in another thread or task: "
            "construct the runner with batch_size=1"
        )
        raise ProgrammingError(msg)

    def refuse_cached(self, application_name: str) -> NoReturn:
        """Refuses to save aggregates to an application that caches them.

        Raises:
            ProgrammingError: says why.
        """
        self.is_tracked_elsewhere = True
        self._saves_to_cached = application_name
        msg = (
            f"{self.tracking} is part of a batch, but process_event() saves to "
            f"{application_name!r}, whose cache would keep the aggregates if the batch "
            "were rolled back: construct the runner with batch_size=1, or leave "
            "AGGREGATE_CACHE_MAXSIZE unset"
        )
        raise ProgrammingError(msg)


_in_batches: dict[Connection, EventInBatch] = {}
"""By connection, the event that a batch is processing on it."""


def refuse_cached_in_batch(connection: Connection, application_name: str) -> None:
    """Makes sure that no batch is rolled back, but what a cache keeps of it is not.

    Args:
        connection: on which aggregates are saved.
        application_name: of the application that caches them.

    Raises:
        ProgrammingError: if a batch is processing an event on it.
    """
    in_batch = _in_batches.get(connection)
    if in_batch is not None:
        in_batch.refuse_cached(application_name)


_modes: dict[Connection, tuple[str, TrackingMode]] = {}
"""By connection, whoever uses it: other threads and tasks, too."""


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
    before = _modes.get(connection)
    _modes[connection] = name, mode
    try:
        yield
    finally:
        if before is None:
            del _modes[connection]
        else:
            _modes[connection] = before


def current_mode(connection: Connection, name: str) -> TrackingMode | None:
    """How to track events, None for one by one.

    Args:
        connection: in the transaction of which an event is processed.
        name: of the projection.
    """
    if not _modes:
        return None
    of_name, mode = _modes.get(connection, (None, None))
    return mode if of_name == name else None
