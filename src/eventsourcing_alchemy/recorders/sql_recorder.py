"""A tracking recorder that must be one of this package."""

from eventsourcing_alchemy.host import ProgrammingError, TrackingRecorder
from eventsourcing_alchemy.recorders.tracking import SQLAlchemyTrackingRecorder


def sql_recorder(recorder: TrackingRecorder) -> SQLAlchemyTrackingRecorder:
    """The recorder, if it is one of this package.

    Raises:
        ProgrammingError: if it is not.
    """
    if isinstance(recorder, SQLAlchemyTrackingRecorder):
        return recorder
    msg = (
        f"{recorder!r} is not a recorder of this package: set "
        "PERSISTENCE_MODULE=eventsourcing_alchemy for the projection"
    )
    raise ProgrammingError(msg)
