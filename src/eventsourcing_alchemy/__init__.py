"""Persistence for the `eventsourcing` library, on SQLAlchemy.

Set `PERSISTENCE_MODULE=eventsourcing_alchemy`, run `alembic upgrade head`, and derive
materialised views from `SQLAlchemyMaterialisedView`.
"""

from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.factory import SQLAlchemyFactory
from eventsourcing_alchemy.recorders import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.tables import metadata
from eventsourcing_alchemy.upserts import upsert
from eventsourcing_alchemy.views import SQLAlchemyMaterialisedView

__all__ = [
    "SQLAlchemyAggregateRecorder",
    "SQLAlchemyApplicationRecorder",
    "SQLAlchemyDatastore",
    "SQLAlchemyFactory",
    "SQLAlchemyMaterialisedView",
    "SQLAlchemyProcessRecorder",
    "SQLAlchemyTrackingRecorder",
    "metadata",
    "upsert",
]
