"""Projections that count events, such as users write; the view is each peer's own."""

from typing import Any, cast

from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection

from benchmarks.peers import CountingView


class EventCounting(Projection[Any]):
    """Counts the events of each kind."""

    name = "counts"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Counts one."""
        cast("CountingView", self.view).increment(type(domain_event).__name__, tracking)
