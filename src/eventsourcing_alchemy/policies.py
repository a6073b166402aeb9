"""What a runner does about an event that cannot be processed."""

from dataclasses import dataclass, field

from eventsourcing.persistence import ProgrammingError

from eventsourcing_alchemy.backoff import Backoff


@dataclass(frozen=True)
class PoisonPolicy:
    """How often to try an event that fails, and what to do then.

    Errors of the database that heal by themselves do not count: they are tried again
    for as long as it takes. Those that are not about the event (a missing table, or
    privilege) stop the runner in the end, because other events would fare no better.

    Attributes:
        attempts: how often to try in all.
        backoff: the pauses between the attempts.
        dead_letter: whether to record the event as a dead letter then, and continue
            with the next one. Otherwise the runner stops, and raises the error.

    Raises:
        ProgrammingError: if there is to be no attempt.
    """

    attempts: int = 1
    backoff: Backoff = field(default_factory=lambda: Backoff(first=0.1, longest=10.0))
    dead_letter: bool = False

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ProgrammingError(f"attempts is {self.attempts}: expected 1 or more")
