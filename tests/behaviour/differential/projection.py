"""The projection that processes events in a style."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, ClassVar

from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection

from behaviour.differential import tables
from behaviour.differential.styles import Style
from behaviour.differential.view import Act, ComparedView
from behaviour.workers import DeliberateError


class Styled(Projection[ComparedView]):
    """Processes events in a style, and notes what it sees."""

    name = tables.PROJECTION
    style: ClassVar[Style]
    seen: ClassVar[dict[int, list[Any]]]
    shared: ClassVar[set[int]]
    failures: ClassVar[dict[int, int]]

    @classmethod
    def of(cls, style: Style) -> type[Styled]:
        members = {
            "name": cls.name,
            "style": style,
            "seen": {},
            "shared": set(),
            "failures": dict(style.failures),
        }
        return type("Styled", (cls,), members)

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        position = tracking.notification_id
        self._note_sharing(position)
        tables.numbers.set(count())
        seen = self.seen[position] = []

        def work(connection: Any, execute: Callable[..., Any]) -> None:
            act = Act(self.view, tracking, connection, execute, seen=seen)
            for step in self.style.steps:
                step(act)
            self._fail_if_due(position)

        self.style.way(position).process(self.view, tracking, work)

    def _note_sharing(self, position: int) -> None:
        is_shared = self.view.datastore.is_in_transaction()
        (self.shared.add if is_shared else self.shared.discard)(position)

    def _fail_if_due(self, position: int) -> None:
        left = self.failures.get(position, 0)
        if left:
            self.failures[position] = left - 1
            raise DeliberateError(f"of {position}")
