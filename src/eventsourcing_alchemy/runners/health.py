"""How a runner is doing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from threading import Lock
from time import monotonic

from eventsourcing_alchemy.errors import text_of


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
    """How a projection is doing.

    If the runner cannot reach the database, positions and lag are the last known ones.

    Attributes:
        state: what the runner is doing.
        position: the last position that the projection has processed; None before the
            first.
        last_position: the last position of the application; None if it has no events.
        lag: the number of events between the two, including those that `topics` leave
            out.
        lag_seconds: seconds since the first of these events was recorded, by the
            clock of the database; 0 if there are none, None if it is unknown.
        last_error: type and message of the last error; None if there was none.
        is_frozen: whether there is work, and the position has not moved for
            `frozen_after` seconds.
        is_stale: whether the database could not be asked, so that positions and lag
            are the last known ones.
    """

    state: State
    position: int | None
    last_position: int | None
    lag: int
    lag_seconds: float | None
    last_error: str | None
    is_frozen: bool
    is_stale: bool = False


class Progress:
    """What a runner knows about its own progress; for any thread.

    Attributes:
        state: of the runner.
        last_error: type and message of the error that was met last, None for none.
        is_idle: whether there was nothing to do when it was looked for last.
    """

    def __init__(self) -> None:
        self.state = State.STANDBY
        self.last_error: str | None = None
        self.is_idle = False
        self._lock = Lock()
        self._position = 0
        self._moved_at = monotonic()
        self._busy_since: float | None = None

    def failed(self, error: BaseException, state: State = State.RETRYING) -> None:
        """Notes an error.

        Args:
            error: that was met.
            state: that the runner is in because of it.
        """
        # In this order, because other threads look at the state first.
        self.last_error = text_of(error)
        self.state = state

    def noted(self, error: BaseException) -> None:
        """Notes an error that changes nothing, nor hides the one that ended it."""
        if self.state is not State.FAILED:
            self.last_error = text_of(error)

    def recovered(self) -> None:
        """Notes that what was tried again has succeeded."""
        if self.state is State.RETRYING:
            self.state = State.FOLLOWING

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Notes that an event is processed in the block."""
        self.is_idle = False
        self._busy_since = monotonic()
        try:
            yield
        finally:
            self._busy_since = None

    def busy_for(self) -> float:
        """Seconds since the event was begun that is processed now; 0 for none."""
        since = self._busy_since
        return 0.0 if since is None else monotonic() - since

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """Notes an error that leaves the block: it ends the runner."""
        try:
            yield
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failed(error, State.FAILED)
            raise

    def reached(self, position: int | None) -> None:
        """Notes the position that was reached, or seen."""
        with self._lock:
            if (position or 0) > self._position:
                self._position = position or 0
                self._moved_at = monotonic()

    def still_for(self) -> float:
        """Seconds since the position has moved, as far as is known here."""
        return monotonic() - self._moved_at
