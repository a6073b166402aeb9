"""Where metrics and traces are told what happens. Nobody is, unless one is installed.

What is called here, by the way of all appends and events, takes a fraction of a
microsecond then.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self


class Observed:
    """Something under way, from the beginning of a block to its end."""

    __slots__ = ()

    def __enter__(self) -> Self:
        """Begins."""
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends, perhaps by an error."""

    def done(self, count: int) -> None:
        """Says how many events it was about."""

    def stored(self, last: int) -> None:
        """Says under which position the last event is stored."""


_NOTHING = Observed()


class Observer:
    """Is told what happens. This one does nothing about it.

    Its methods are called by any thread; they must not block, nor raise errors.
    """

    def appending(self, application: str, events: Sequence[Any]) -> Observed:  # noqa: ARG002
        """Events are to be stored."""
        return _NOTHING

    def retried(self, kind: str) -> None:
        """What failed for the moment is tried again.

        Args:
            kind: of the error, as `ErrorKind` names it.
        """

    def committed_together(self, appends: int) -> None:
        """So many appends shared a transaction."""

    def reading(self, application: str) -> Observed:  # noqa: ARG002
        """A subscription asks for a page of events."""
        return _NOTHING

    def woken(self, application: str, reason: str) -> None:
        """A subscription that waited looks for new events.

        Args:
            application: that it follows.
            reason: as in `wakeups`.
        """

    def processing(
        self,
        projection: str,  # noqa: ARG002
        application: str,  # noqa: ARG002
        notifications: Sequence[Any],  # noqa: ARG002
    ) -> Observed:
        """A projection is to process some events, or the first of them."""
        return _NOTHING

    def failed(self, projection: str, application: str, error: Exception) -> None:
        """A projection could not process an event."""

    def passed_over(self, projection: str, application: str) -> None:
        """A projection has passed over an event: there is a dead letter."""

    def lease_taken(self, projection: str, application: str) -> None:
        """This copy of a projection holds the lease."""

    def lease_ended(self, projection: str, application: str, *, is_lost: bool) -> None:
        """It does not any more, perhaps because another one has taken it."""

    def outage_began(self) -> None:
        """A database is out of reach."""

    def outage_ended(self, seconds: float) -> None:
        """It is back."""


NOBODY = Observer()

observer = NOBODY
"""Is told. To be looked up for each call: `instrumentation.observer`."""


def install(new: Observer) -> None:
    """From now on, this one is told, and nobody else."""
    global observer
    observer = new
