"""How far a copy is."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic


class CopyPhase(StrEnum):
    """What a copy is doing."""

    EVENTS = "events"
    """Copying events."""
    SNAPSHOTS = "snapshots"
    """Copying snapshots, and comparing them."""
    VERIFYING = "verifying"
    """Comparing both sides."""
    FOLLOWING = "following"
    """Waiting for new events, because all others are copied."""


@dataclass(frozen=True)
class CopyProgress:
    """How far a copy has come.

    Attributes:
        phase: what the copy is doing.
        done: the number of records so far, in this phase and run.
        total: the number of records in this phase; None if it is unknown.
        position: the position of the last event.
        rate: records a second since this phase began.
    """

    phase: CopyPhase
    done: int
    total: int | None
    position: int
    rate: float

    @property
    def seconds_left(self) -> float | None:
        """How long this phase will take at this rate, None if that is not known."""
        if self.total is None or not self.rate:
            return None
        return max(0, self.total - self.done) / self.rate


Listener = Callable[[CopyProgress], None]


class Meter:
    """Counts the records of a phase, and tells a listener.

    Args:
        listener: is told, in the thread that copies; None for nobody.
        phase: what is done.
        total: number of records, if it is known.
    """

    def __init__(
        self, listener: Listener | None, phase: CopyPhase, total: int | None = None
    ) -> None:
        self.done = 0
        self._listener = listener
        self._phase = phase
        self._total = total
        self._started = monotonic()

    def count(self, records: int, position: int) -> None:
        """Adds to what is done.

        Args:
            records: how many.
            position: of the last event.
        """
        self.done += records
        if self._listener is not None:
            seconds = monotonic() - self._started
            rate = self.done / seconds if seconds else 0.0
            self._listener(
                CopyProgress(self._phase, self.done, self._total, position, rate)
            )
