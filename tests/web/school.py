"""An application, and a projection of it, to look at."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection

from positions import Positions

HOSTILE = """</script><script>document.title='taken'</script><img src=x onerror="
document.title='taken'">'"&lt;{{7*7}}\N{ZERO WIDTH SPACE}\N{RIGHT-TO-LEFT OVERRIDE}"""


class Dog(Aggregate):
    @event("Registered")
    def __init__(self, name: str) -> None:
        self.name = name
        self.tricks: list[str] = []

    @event("TrickAdded")
    def add_trick(self, trick: str) -> None:
        self.tricks.append(trick)


class School(Application[UUID]):
    def register(self, name: str, *tricks: str) -> UUID:
        dog = Dog(name)
        for trick in tricks:
            dog.add_trick(trick)
        self.save(dog)
        return dog.id


class Noting(Projection[Positions]):
    """Fails until it is mended."""

    name = "noting"
    is_mended: ClassVar[bool] = False

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        if tracking.notification_id == 2 and not self.is_mended:
            raise ValueError(HOSTILE)
        self.view.note(tracking)
