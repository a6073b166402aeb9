"""The rows of dead letters."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement

from eventsourcing_alchemy.host import IntegrityError, ProgrammingError, Tracking
from eventsourcing_alchemy.schema.tables import dead_letters


@dataclass(frozen=True)
class DeadLetter:
    """An event that a runner could not process, and passed over.

    Attributes:
        projection_name: the name of the projection.
        application_name: the name of the application that it follows.
        notification_id: the position of the event.
        topic: the topic of the event.
        error: type and message of the last error, up to 10,000 characters.
        attempts: how often a runner tried the event.
        recorded_at: when the runner passed it over, in UTC, by the database's clock.
        traceback: the last traceback, shortened; None if it is unknown.
        originator_id: the ID of the aggregate, as text; None if it is unknown, and for
            events with tags.
        originator_version: the version of the event in its aggregate; None as above.
    """

    projection_name: str
    application_name: str
    notification_id: int
    topic: str
    error: str
    attempts: int
    recorded_at: datetime
    traceback: str | None = field(default=None, repr=False)
    originator_id: str | None = None
    originator_version: int | None = None

    @property
    def tracking(self) -> Tracking:
        """The application's name, and the position of the event."""
        return Tracking(self.application_name, self.notification_id)

    def __str__(self) -> str:
        return (
            f"the dead letter of projection {self.projection_name!r} for position "
            f"{self.notification_id} of {self.application_name!r}"
        )


class GoneError(ProgrammingError, IntegrityError):
    """A dead letter is gone, perhaps by a COMMIT of ours whose answer was lost."""


def key_of(projection_name: str, tracking: Tracking) -> dict[str, Any]:
    """The key of a row."""
    return {
        "projection_name": projection_name,
        "application_name": tracking.application_name,
        "notification_id": tracking.notification_id,
    }


def has(key: dict[str, Any]) -> list[ColumnElement[bool]]:
    """The conditions for rows that have some values."""
    return [dead_letters.c[name] == value for name, value in key.items()]


def letter_of(recorded_at: datetime, **values: Any) -> DeadLetter:
    """The dead letter of a row."""
    is_naive = recorded_at.tzinfo is None
    in_utc = (
        recorded_at.replace(tzinfo=UTC) if is_naive else recorded_at.astimezone(UTC)
    )
    return DeadLetter(recorded_at=in_utc, **values)
