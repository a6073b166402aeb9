"""The position of a runner that has nothing to do, which somebody else may change."""

from time import monotonic

from eventsourcing_alchemy.errors import PositionLostError
from eventsourcing_alchemy.host import OperationalError
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.statements.tracking import LOWEST

LOOK_INTERVAL = 2.0
"""Seconds between two looks."""


class WatchedPosition:
    """Looks now and then whether a position is still where it was.

    A runner that processes events notices by itself.

    Args:
        recorder: records the positions.
        application_name: of the application that is followed.
    """

    def __init__(
        self, recorder: SQLAlchemyTrackingRecorder, application_name: str
    ) -> None:
        self._recorder = recorder
        self._name = application_name
        self._looked_at = 0.0
        self._is_missed = False

    def look(self) -> None:
        """Looks, unless it has just done so.

        Raises:
            PositionLostError: if two looks in succession find that the position has
                vanished or gone back: one may have asked a node of a cluster that lags.
        """
        known = self._recorder.known.lowest(self._name)
        if known == LOWEST or monotonic() - self._looked_at < LOOK_INTERVAL:
            return
        self._looked_at = monotonic()
        try:
            position = self._recorder.position_now(self._name)
        except OperationalError:
            return  # Nothing depends on this look, and events are not to wait for it.
        try:
            self._recorder.known.check(self._name, known, position)
        except PositionLostError:
            if self._is_missed:
                raise
            self._is_missed = True
        else:
            self._is_missed = False
