"""How a runner is doing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from time import monotonic


class State(StrEnum):
    """What a runner is doing."""

    STANDBY = "standby"
    """It waits for the lease, which another copy has."""

    FOLLOWING = "following"
    """It processes events as they come."""

    RETRYING = "retrying"
    """Something has failed, and is tried again."""

    STOPPED = "stopped"
    """It has been told to stop."""

    FAILED = "failed"
    """An error has ended it."""


@dataclass(frozen=True)
class Health:
    """How a projection is doing, as a runner sees it.

    Where the database cannot be asked, positions and lag are those seen last.

    Attributes:
        state: of the runner.
        position: up to which events have been processed; None before the first.
        last_position: of the application; None if it has no events.
        lag: number of events between them, those included that topics filter out.
        lag_seconds: since the first of these events was recorded, by the clock of the
            database; 0 if there is none, None where it is not known.
        last_error: type and message of the error that was met last, None for none.
        is_frozen: whether there is work, and the position has not moved for long.
    """

    state: State
    position: int | None
    last_position: int | None
    lag: int
    lag_seconds: float | None
    last_error: str | None
    is_frozen: bool


class Progress:
    """What a runner knows about its own progress; for any thread.

    Attributes:
        state: of the runner.
        last_error: type and message of the error that was met last, None for none.
    """

    def __init__(self) -> None:
        self.state = State.STANDBY
        self.last_error: str | None = None
        self._lock = Lock()
        self._position: int | None = None
        self._moved_at = monotonic()

    def failed(self, error: BaseException, state: State = State.RETRYING) -> None:
        """Notes an error.

        Args:
            error: that was met.
            state: that the runner is in because of it.
        """
        self.state = state
        self.last_error = f"{type(error).__name__}: {error}"

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """Notes an error that leaves the block: it ends the runner."""
        try:
            yield
        except Exception as error:
            self.failed(error, State.FAILED)
            raise

    def reached(self, position: int | None) -> None:
        """Notes the position that was reached, or seen."""
        with self._lock:
            if position != self._position:
                self._position = position
                self._moved_at = monotonic()

    def still_for(self) -> float:
        """Seconds since the position has moved, as far as is known here."""
        return monotonic() - self._moved_at
