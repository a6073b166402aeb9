"""Building a view again, beside the one that is in use."""

from eventsourcing_alchemy.operations.rebuild.progress import (
    RebuildPhase,
    RebuildProgress,
)
from eventsourcing_alchemy.operations.rebuild.rebuilding import rebuild
from eventsourcing_alchemy.operations.rebuild.resetting import reset

__all__ = ["RebuildPhase", "RebuildProgress", "rebuild", "reset"]
