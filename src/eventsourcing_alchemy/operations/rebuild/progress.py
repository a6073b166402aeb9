"""How far a rebuild has come."""

from dataclasses import dataclass
from enum import StrEnum


class RebuildPhase(StrEnum):
    """What a rebuild is doing."""

    BUILDING = "building"
    """It processes events into the new tables."""

    SWITCHING = "switching"
    """It puts the new tables in the place of those in use."""

    SWITCHED = "switched"
    """The new tables are in use; the old ones are dropped."""


@dataclass(frozen=True)
class RebuildProgress:
    """How far a rebuild has come.

    Attributes:
        phase: what the rebuild is doing.
        position: the last position that was processed into the new tables.
        goal: the position of the view that is in use.
    """

    phase: RebuildPhase
    position: int
    goal: int
