"""The server's queue of notifications, which others can fill."""

import logging

from sqlalchemy import ColumnElement, func, literal_column

logger = logging.getLogger("eventsourcing_alchemy")


def has_room() -> ColumnElement[bool]:
    """Whether the queue is less than half full.

    A NOTIFY that finds it full fails the COMMIT. It is one queue for all databases of
    the server, and somebody else's idle transaction is enough to fill it. What is
    looked at here may fill up until the COMMIT, but hardly by half.
    """
    return func.pg_notification_queue_usage() < literal_column("0.5")


class NotifyQueue:
    """Tells the log once that the queue has no room, and once that it has again."""

    def __init__(self) -> None:
        self._has_room = True

    def note(self, *, has_room: bool) -> None:
        """Says whether there was room for a notification."""
        if has_room is self._has_room:
            return
        self._has_room = has_room
        if has_room:
            logger.info("Sending notifications again")
        else:
            logger.warning(
                "The notification queue of PostgreSQL is half full, so appends no "
                "longer send NOTIFY, and other processes see their events later. End "
                "the session that has executed LISTEN and is 'idle in transaction'"
            )
