"""How processes hear of what others have committed."""

from collections.abc import Callable
from typing import Protocol

from sqlalchemy import (
    Engine,
)

from eventsourcing_alchemy.resilience.outages import Outage


class Listening(Protocol):
    """A connection of this process that turns notifications into hints.

    Attributes:
        hears: whether notifications arrive; while they do not, there are no hints.
        failure: why it cannot listen yet; None if it could from the beginning.
    """

    hears: bool
    failure: str | None

    def close(self) -> None:
        """Ends it; returns when its thread and connection are gone."""

    def abandon(self) -> None:
        """Leaves everything to the parent process, after a fork."""


class Announcements:
    """How processes hear of what others have committed."""

    def listen(
        self,
        engine: Engine,  # noqa: ARG002
        writer: Engine,  # noqa: ARG002
        wake: Callable[[str], None],  # noqa: ARG002
        outage: Outage,  # noqa: ARG002
        can_wait: Callable[[BaseException], bool],  # noqa: ARG002
    ) -> Listening | None:
        """Listens for the announcements of other processes.

        Args:
            engine: of the database to listen to.
            writer: by which applications announce their events.
            wake: called with the name of an application that has new events.
            outage: is told when the connection is lost, and when it is back.
            can_wait: tells of an error whether to listen later, when it has healed.

        Returns:
            None where the database, or its driver, announces nothing.
        """
        return None
