"""What a runner does about an event that cannot be processed."""

from dataclasses import dataclass, field

from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.resilience.backoff import Backoff


@dataclass(frozen=True)
class PoisonPolicy:
    """How often to try an event that fails, and what to do after that.

    It does not apply to database errors that pass: the runner retries those for as long
    as it takes. Nor does it apply to errors that every event would meet, such as a
    missing table or privilege: those stop the runner.

    Attributes:
        attempts: how often to try the event in all, at least 1.
        backoff: the pauses between attempts.
        dead_letter: whether to record the event as a dead letter after the last
            attempt, and continue with the next event. Otherwise the runner stops, and
            raises the error.

    Raises:
        ProgrammingError: if `attempts` is below 1.
    """

    attempts: int = 1
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, longest=10.0))
    dead_letter: bool = False

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ProgrammingError(f"attempts is {self.attempts}: expected 1 or more")
