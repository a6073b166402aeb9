"""What the recorders of one projection know together: it may have several views."""

from weakref import WeakKeyDictionary

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.parts import Part
from eventsourcing_alchemy.host import Tracking
from eventsourcing_alchemy.recorders.tracking_modes import EventInBatch


class CommittedPositions:
    """By application, the position that was recorded last, and in what."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[int, Part | None]] = {}

    def note(self, tracking: Tracking, part: Part | None) -> None:
        """Notes a position.

        Args:
            tracking: the application's name, and the position.
            part: of a transaction; None if it cannot be rolled back any more.
        """
        self._last[tracking.application_name] = tracking.notification_id, part

    def has(self, tracking: Tracking) -> bool | None:
        """Whether a position is the last; None if only the database knows."""
        position, part = self._last.get(tracking.application_name, (0, None))
        if position != tracking.notification_id or (part and part.is_undone):
            return False
        return True if part is None else None

    def forget(self, application_name: str) -> None:
        """Forgets the position in an application."""
        self._last.pop(application_name, None)


class SharedTracking:
    """Of all recorders with one name and one datastore.

    Not of all in the process: another datastore may be that of another copy.

    Attributes:
        committed: what they have recorded.
        in_batch: the event that a batch is processing.
    """

    def __init__(self) -> None:
        self.committed = CommittedPositions()
        self.in_batch = EventInBatch()


_by_datastore: WeakKeyDictionary[SQLAlchemyDatastore, dict[str, SharedTracking]]
_by_datastore = WeakKeyDictionary()


def shared_tracking(datastore: SQLAlchemyDatastore, name: str) -> SharedTracking:
    """What a recorder shares with others.

    Args:
        datastore: the recorder's.
        name: of the projection.
    """
    by_name = _by_datastore.setdefault(datastore, {})
    return by_name.setdefault(name, SharedTracking())
