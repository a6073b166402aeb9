"""Persistence for the `eventsourcing` library, on SQLAlchemy.

Set `PERSISTENCE_MODULE=eventsourcing_alchemy`, run `alembic upgrade head`, and derive
materialised views from `SQLAlchemyMaterialisedView`.
"""

from eventsourcing_alchemy.backoff import Backoff
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.dead_letters import DeadLetter, DeadLetters
from eventsourcing_alchemy.factory import SQLAlchemyFactory
from eventsourcing_alchemy.health import Health, State
from eventsourcing_alchemy.leases import Lease
from eventsourcing_alchemy.policies import PoisonPolicy
from eventsourcing_alchemy.recorders import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.runners import (
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.tables import metadata
from eventsourcing_alchemy.upserts import upsert
from eventsourcing_alchemy.views import SQLAlchemyMaterialisedView

__all__ = [
    "Backoff",
    "DeadLetter",
    "DeadLetters",
    "Health",
    "Lease",
    "PoisonPolicy",
    "SQLAlchemyAggregateRecorder",
    "SQLAlchemyApplicationRecorder",
    "SQLAlchemyDatastore",
    "SQLAlchemyEventSourcedProjectionRunner",
    "SQLAlchemyFactory",
    "SQLAlchemyMaterialisedView",
    "SQLAlchemyProcessRecorder",
    "SQLAlchemyProjectionRunner",
    "SQLAlchemyTrackingRecorder",
    "State",
    "metadata",
    "upsert",
]
