"""The call of a projection."""

from asyncio import CancelledError
from typing import Any

from eventsourcing_alchemy.database.sole_writer import BesideViewError
from eventsourcing_alchemy.errors import PositionLostError
from eventsourcing_alchemy.host import Tracking

NOT_OF_EVENTS = PositionLostError, BesideViewError
"""Errors in the midst of the processing of an event that are the fault of no event."""


def process_event(projection: Any, event: Any, tracking: Tracking) -> None:
    """Has a projection process an event.

    Args:
        projection: any.
        event: of the application that it follows.
        tracking: the position of the event.

    Raises:
        RuntimeError: if it raised `SystemExit` or `CancelledError`. They are meant
            for a process or a task, and no policy or log would hear of them.
        Exception: whatever else it raised.
    """
    try:
        projection.process_event(event, tracking)
    except (SystemExit, CancelledError) as error:
        raise RuntimeError(f"process_event() raised {error!r}") from error
