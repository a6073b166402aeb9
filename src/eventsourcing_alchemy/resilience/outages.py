"""Outages of a database, told to the log once."""

import logging
from collections.abc import Callable
from threading import RLock
from time import monotonic

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.errors import text_of

logger = logging.getLogger("eventsourcing_alchemy")


class Outage:
    """Whether a database is out of reach, for all who use it in this process.

    Attributes:
        reason: of the outage that is on, or of the last one; None before the first.

    Args:
        resume: called when the database is back: makes those look who wait for hints.
    """

    def __init__(self, resume: Callable[[], None]) -> None:
        self.resume = resume
        self.forget()

    def forget(self) -> None:
        """Starts anew, in a forked child: a thread of the parent may have the lock."""
        self._lock = RLock()
        self._since: float | None = None
        self._ended = 0.0
        self.reason: str | None = None

    @property
    def is_on(self) -> bool:
        """Whether the database was out of reach when it was used last."""
        return self._since is not None

    def begin(self, error: BaseException, began: float | None = None) -> None:
        """Says that the database cannot be used; logs a warning if that is new.

        Args:
            error: tells it.
            began: when what has failed began, by the monotonic clock. What was already
                under way when the last outage ended tells nothing new. Default: now.
        """
        with self._lock:
            is_old = began is not None and began <= self._ended
            if self._since is not None or is_old:
                return
            self._since = monotonic()
            # Not the error, whose traceback would keep what was in use.
            self.reason = reason = text_of(error)
        instrumentation.observer.outage_began()
        logger.warning("The database is unavailable; trying again: %s", reason)

    def end(self, began: float | None = None) -> None:
        """Says that the database can be used; logs a line if that is new.

        Args:
            began: when what has succeeded began. What was already under way when the
                outage began tells nothing of it. Default: now.
        """
        with self._lock:
            if self._since is None or (began is not None and began <= self._since):
                return
            lasted = monotonic() - self._since
            self._since = None
            self._ended = monotonic()
        instrumentation.observer.outage_ended(lasted)
        logger.info("The database is available again after %.1f s", lasted)
        self.resume()
