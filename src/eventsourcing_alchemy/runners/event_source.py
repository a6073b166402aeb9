"""Where a runner gets events from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from eventsourcing_alchemy.host import (
    Application,
    ApplicationRecorder,
    ApplicationSubscription,
    DCBApplication,
    DCBApplicationSubscription,
    DCBEvent,
    DCBMapper,
    DCBRecorder,
    DCBSequencedEvent,
    DCBSubscription,
    Mapper,
    Notification,
    ProgrammingError,
    StoredEvent,
    Subscription,
)
from eventsourcing_alchemy.schema.validation import HIGHEST
from eventsourcing_alchemy.subscriptions.dcb_subscription import (
    SQLAlchemyDCBSubscription,
)
from eventsourcing_alchemy.subscriptions.subscription import SQLAlchemySubscription


class EventSource(Protocol):
    """Notifications, from any position on, as `SQLAlchemySubscription` gives them."""

    @property
    def position(self) -> int:
        """Everything up to here was returned, filtered out, or never was."""

    def restart(self, gt: int) -> None:
        """Continues after a position."""

    def look(self, longest_wait: float | None = None) -> Notification | None:
        """The next notification, None if there is none by now."""

    def ready(self, limit: int) -> Sequence[Notification]:
        """Those that follow the last one, as far as they are there already."""


class ForeignEventSource:
    """A subscription of another persistence module, which can only go forward.

    Args:
        subscription: of the host's kind, or what iterates over one.
    """

    def __init__(self, subscription: Iterator[Notification]) -> None:
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

    def ready(self, limit: int) -> Sequence[Notification]:  # noqa: ARG002
        """None: it tells nothing about what is there."""
        return []

    def _advance(self) -> bool:
        if self._has_ended:
            raise ProgrammingError("The subscription ended although nobody stopped it")
        following = next(self._subscription, None)
        self._has_ended = following is None
        if following is not None:
            self._previous = self.position
            self._last = following
        return not self._has_ended


class DCBEventSource:
    """Events with tags, as notifications.

    Args:
        subscription: to them.
    """

    def __init__(self, subscription: SQLAlchemyDCBSubscription[Any]) -> None:
        self._subscription = subscription

    @property
    def position(self) -> int:
        """Everything up to here was returned, filtered out, or never was."""
        return self._subscription.position

    def restart(self, gt: int) -> None:
        """Continues after a position."""
        self._subscription.restart(gt)

    def look(self, longest_wait: float | None = None) -> Notification | None:
        """The next notification, None if there is none by now."""
        event = self._subscription.look(longest_wait)
        return None if event is None else tagged(event)

    def ready(self, limit: int) -> Sequence[Notification]:
        """Those that follow the last one, as far as they are there already."""
        return [tagged(event) for event in self._subscription.ready(limit)]


@dataclass(frozen=True)
class TaggedNotification(Notification):
    """An event with tags, which has no originator."""

    tags: list[str]


class TaggedMapper(Mapper[Any]):
    """Makes domain events of tagged notifications.

    Args:
        mapper: makes them of the events that are stored.
    """

    def __init__(self, mapper: DCBMapper[Any]) -> None:
        self._mapper = mapper

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The domain event of a `TaggedNotification`."""
        tags = stored_event.tags if isinstance(stored_event, TaggedNotification) else []
        event = DCBEvent(stored_event.topic, stored_event.state, tags)
        return self._mapper.to_domain_event(event)


def tagged(sequenced: DCBSequencedEvent) -> TaggedNotification:
    """An event with tags as a notification."""
    event, position = sequenced.event, sequenced.position
    return TaggedNotification("", 0, event.type, event.data, position, event.tags)


def event_source_of(
    subscription: Subscription[Any] | DCBSubscription[Any],
) -> EventSource:
    """Events from a subscription, whoever made it."""
    if isinstance(subscription, SQLAlchemySubscription):
        return subscription
    if isinstance(subscription, SQLAlchemyDCBSubscription):
        return DCBEventSource(subscription)
    if isinstance(subscription, DCBSubscription):
        return ForeignEventSource(map(tagged, subscription))
    return ForeignEventSource(subscription)


def mapper_of(
    subscription: ApplicationSubscription[Any] | DCBApplicationSubscription,
) -> Mapper[Any]:
    """What makes domain events of what `event_source_of()` gives."""
    if isinstance(subscription, DCBApplicationSubscription):
        return TaggedMapper(subscription.mapper)
    return subscription.mapper


def last_position_of(recorder: ApplicationRecorder | DCBRecorder) -> int | None:
    """The position of the last event of an application, None if there is none."""
    if isinstance(recorder, DCBRecorder):
        # Without events, which a recorder may read all at once.
        return recorder.read(after=HIGHEST).head
    return recorder.max_notification_id()


def domain_event_at(
    position: int, application: Application[Any] | DCBApplication
) -> Any | None:
    """The event of an application at a position, None if there is none."""
    if isinstance(application, DCBApplication):
        for event in application.recorder.read(after=position - 1, limit=1):
            if event.position == position:
                return application.mapper.to_domain_event(event.event)
        return None
    found = application.recorder.select_notifications(position, 1, stop=position)
    return application.mapper.to_domain_event(found[0]) if found else None
