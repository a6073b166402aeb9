"""Persistence for the `eventsourcing` library, on SQLAlchemy.

Set `PERSISTENCE_MODULE=eventsourcing_alchemy`, run `alembic upgrade head`, and derive
materialised views from `SQLAlchemyMaterialisedView`.
"""

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import (
    AbandonedError,
    AlreadyProcessedError,
    CannotConnectError,
    ConfigurationError,
    ConnectionLostError,
    LockTimeoutError,
    PositionLostError,
    TransactionEndedError,
    TransientError,
)
from eventsourcing_alchemy.factory import SQLAlchemyFactory
from eventsourcing_alchemy.operations.discrepancies import (
    CopyRefusedError,
    Discrepancy,
    VerificationError,
)
from eventsourcing_alchemy.operations.rebuild import (
    RebuildPhase,
    RebuildProgress,
    rebuild,
    reset,
)
from eventsourcing_alchemy.operations.telemetry import instrument
from eventsourcing_alchemy.operations.transfer.copy import compare, copy
from eventsourcing_alchemy.operations.transfer.progress import CopyPhase, CopyProgress
from eventsourcing_alchemy.operations.transfer.run import Copied
from eventsourcing_alchemy.operations.verify import verify
from eventsourcing_alchemy.recorders import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.recorders.dcb import SQLAlchemyDCBRecorder
from eventsourcing_alchemy.resilience.backoff import Backoff
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.runners.health import Health, State
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy
from eventsourcing_alchemy.runners.runner import (
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.schema.migrate import (
    current_revision,
    declared,
    include_name,
    missing_tables,
    upgrade,
)
from eventsourcing_alchemy.schema.new_revisions import keep_apart
from eventsourcing_alchemy.schema.tables import metadata
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.subscriptions.dcb_subscription import (
    SQLAlchemyDCBSubscription,
)
from eventsourcing_alchemy.subscriptions.subscription import SQLAlchemySubscription
from eventsourcing_alchemy.upserts.statement import Upsert, upsert
from eventsourcing_alchemy.views import SQLAlchemyMaterialisedView

__all__ = [
    "AbandonedError",
    "AlreadyProcessedError",
    "Backoff",
    "CannotConnectError",
    "ConfigurationError",
    "ConnectionLostError",
    "Copied",
    "CopyPhase",
    "CopyProgress",
    "CopyRefusedError",
    "DeadLetter",
    "DeadLetters",
    "Discrepancy",
    "Health",
    "Lease",
    "LockTimeoutError",
    "PoisonPolicy",
    "PositionLostError",
    "RebuildPhase",
    "RebuildProgress",
    "SQLAlchemyAggregateRecorder",
    "SQLAlchemyApplicationRecorder",
    "SQLAlchemyDCBRecorder",
    "SQLAlchemyDCBSubscription",
    "SQLAlchemyDatastore",
    "SQLAlchemyEventSourcedProjectionRunner",
    "SQLAlchemyFactory",
    "SQLAlchemyMaterialisedView",
    "SQLAlchemyProcessRecorder",
    "SQLAlchemyProjectionRunner",
    "SQLAlchemyRecorder",
    "SQLAlchemySubscription",
    "SQLAlchemyTrackingRecorder",
    "Settings",
    "State",
    "TransactionEndedError",
    "TransientError",
    "Upsert",
    "VerificationError",
    "compare",
    "copy",
    "current_revision",
    "declared",
    "include_name",
    "instrument",
    "keep_apart",
    "metadata",
    "missing_tables",
    "rebuild",
    "reset",
    "upgrade",
    "upsert",
    "verify",
]
