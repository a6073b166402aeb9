"""Where a runner gets events from."""

from typing import Any, Protocol

from eventsourcing.persistence import Notification, ProgrammingError, Subscription

from eventsourcing_alchemy.subscriptions import SQLAlchemySubscription


class Source(Protocol):
    """Notifications, from any position on, as `SQLAlchemySubscription` gives them."""

    @property
    def position(self) -> int:
        """Everything up to here was returned, filtered out, or never was."""

    def restart(self, gt: int) -> None:
        """Continues after a position."""

    def look(self, longest_wait: float | None = None) -> Notification | None:
        """The next notification, None if there is none by now."""

    def ready(self, limit: int) -> list[Notification]:
        """Those that follow the last one, as far as they are there already."""


class ForeignSource:
    """A subscription of another persistence module, which can only go forward.

    Args:
        subscription: of the host's kind.
    """

    def __init__(self, subscription: Subscription[Any]) -> None:
        self._subscription = subscription
        self._last: Notification | None = None
        self._previous = 0
        self._is_due = False
        self._has_ended = False
        self._gt = 0

    @property
    def position(self) -> int:
        """That of the last event: what was filtered out is not known."""
        return self._last.id if self._last is not None else self._gt

    def restart(self, gt: int) -> None:
        """Continues after a position, at the earliest with the last event again.

        Raises:
            ProgrammingError: if earlier ones would have to come again.
        """
        if self._last is not None and gt < self._previous:
            msg = (
                f"A subscription of another persistence module cannot go back to "
                f"position {gt}: let the projection track each event that it processes"
            )
            raise ProgrammingError(msg)
        self._gt = gt
        self._is_due = self._last is not None

    def look(self, longest_wait: float | None = None) -> Notification | None:  # noqa: ARG002
        """The next notification, however long it takes; None at the end, once.

        Raises:
            ProgrammingError: after the end.
        """
        while self._is_due or self._advance():
            self._is_due = False
            if self._last is not None and self._last.id > self._gt:
                return self._last
        return None

    def ready(self, limit: int) -> list[Notification]:  # noqa: ARG002
        """None: it tells nothing about what is there."""
        return []

    def _advance(self) -> bool:
        if self._has_ended:
            raise ProgrammingError("The subscription has ended, and nobody stopped it")
        following = next(self._subscription, None)
        self._has_ended = following is None
        if following is not None:
            self._previous = self.position
            self._last = following
        return not self._has_ended


def source_of(subscription: Subscription[Any]) -> Source:
    """Events from a subscription, whoever made it."""
    if isinstance(subscription, SQLAlchemySubscription):
        return subscription
    return ForeignSource(subscription)
