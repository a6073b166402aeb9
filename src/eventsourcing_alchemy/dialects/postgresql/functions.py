"""Functions of the server that an append can do without."""

import logging

from sqlalchemy.exc import DBAPIError

from eventsourcing_alchemy.errors import sqlstate_of

logger = logging.getLogger("eventsourcing_alchemy")

_STATES = {
    "0A000",  # feature_not_supported
    "42501",  # insufficient_privilege
    "42883",  # undefined_function
}
_LOCK = {"pg_advisory_xact_lock", "pg_try_advisory_xact_lock"}
_NOTIFY = {"pg_notify", "pg_notification_queue_usage"}


class Functions:
    """Which of them the server has, and lets the role execute.

    Attributes:
        can_lock: whether appends can queue on an advisory lock, before the row.
        can_notify: whether events can be announced.
    """

    def __init__(self) -> None:
        self.can_lock = True
        self.can_notify = True

    def do_without(self, error: DBAPIError) -> bool:
        """Notes what an error says is refused; logs a warning.

        Returns:
            Whether it was not known yet, so that another try may succeed.
        """
        text = str(error.orig)
        if error.orig is None or sqlstate_of(error.orig) not in _STATES:
            return False
        is_lock = self.can_lock and any(name in text for name in _LOCK)
        is_notify = self.can_notify and any(name in text for name in _NOTIFY)
        self.can_lock = self.can_lock and not is_lock
        self.can_notify = self.can_notify and not is_notify
        if is_lock or is_notify:
            logger.warning(
                "PostgreSQL refuses to execute a function (%s), so appends work "
                "without %s. GRANT EXECUTE on the function if you can",
                text.partition("\n")[0],
                "advisory locks: writers wait for the row of the application"
                if is_lock
                else "NOTIFY: other processes see events later",
            )
        return is_lock or is_notify
