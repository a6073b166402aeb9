"""The recorders, which the host's classes read from and write to."""

from eventsourcing_alchemy.recorders.aggregate import SQLAlchemyAggregateRecorder
from eventsourcing_alchemy.recorders.application import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.recorders.process import SQLAlchemyProcessRecorder
from eventsourcing_alchemy.recorders.tracking import SQLAlchemyTrackingRecorder

__all__ = [
    "SQLAlchemyAggregateRecorder",
    "SQLAlchemyApplicationRecorder",
    "SQLAlchemyProcessRecorder",
    "SQLAlchemyTrackingRecorder",
]
