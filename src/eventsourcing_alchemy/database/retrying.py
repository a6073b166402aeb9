"""Trying again what the database refused for the moment."""

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.errors import (
    CannotConnectError,
    driver_error_of,
    text_of,
)
from eventsourcing_alchemy.host import (
    IntegrityError,
    PersistenceError,
    WaitInterruptedError,
)
from eventsourcing_alchemy.resilience.backoff import Backoff
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.resilience.outages import Outage

T = TypeVar("T")

logger = logging.getLogger("eventsourcing_alchemy")

BACKOFF = Backoff(first=0.01, longest=1.0)

ENDURING_BACKOFF = Backoff(first=0.05, longest=3.0)

STALE = 1.0
"""Seconds within which it shows that a pooled connection has been closed."""

CONFLICTS_BEFORE_WARNING = 5
"""Conflicts are ordinary, so long as another try succeeds."""


def retry(
    attempt: Callable[[], T],
    dialect: BaseDialect,
    timeout: float,
    settle: Callable[[], T | None] | None = None,
) -> T:
    """Calls a function until it succeeds.

    A connection that is lost during COMMIT says nothing about the outcome. So the
    function is called again; where a constraint refuses what it stores, that may be
    what it stored before.

    Args:
        attempt: is a transaction of its own, or a query.
        dialect: of the database.
        timeout: seconds after the first failure in which to begin another try.
        settle: tells whether the attempt was carried out after all: returns its
            result if what is stored is exactly what it stores, else None.

    Raises:
        PersistenceError: of the last try.
    """
    deadline: float | None = None
    is_ambiguous = False
    pauses = BACKOFF.pauses()
    while True:
        try:
            return attempt()
        except IntegrityError as error:
            may_be_ours = is_ambiguous and dialect.is_duplicate(driver_error_of(error))
            if settle is None or not may_be_ours:
                raise
            found = retry(settle, dialect, timeout)
            if found is None:
                raise
            return found
        except PersistenceError as error:
            kind = error_kind_of(error, dialect)
            if kind not in {ErrorKind.CONFLICT, ErrorKind.CANCELLED, ErrorKind.OUTAGE}:
                raise
            deadline = deadline or monotonic() + timeout
            pause = next(pauses)
            if monotonic() + pause > deadline:
                raise
            was_sent = not isinstance(error, CannotConnectError)
            is_ambiguous = is_ambiguous or (kind is ErrorKind.OUTAGE and was_sent)
            logger.debug("Trying again: %s", str(error))
            instrumentation.observer.retried(kind.name)
        sleep(pause)


class Endurance:
    """Calls again what fails for the moment, as long as it takes.

    An outage is told to the log once; that a pooled connection was closed meanwhile is
    none.

    Args:
        dialect: of the database.
        outage: of the database.
        wait: waits for that many seconds, less if there is a reason to go on.
        is_stopped: whether to give up.
        is_part: whether it is called inside somebody's transaction: then it is not
            called again, because whatever failed may have ended the transaction.
    """

    def __init__(
        self,
        dialect: BaseDialect,
        outage: Outage,
        wait: Callable[[float], object],
        is_stopped: Callable[[], bool],
        is_part: Callable[[], bool] = lambda: False,
    ) -> None:
        self._dialect = dialect
        self._outage = outage
        self._wait = wait
        self._is_stopped = is_stopped
        self._is_part = is_part

    def call(
        self,
        attempt: Callable[[], T],
        failed: Callable[[Exception], None] = lambda _: None,
    ) -> T | None:
        """Calls a function until it succeeds.

        Args:
            attempt: is a transaction of its own, or a query.
            failed: is told each error that is borne.

        Returns:
            Its result; None if it is to stop before.

        Raises:
            Exception: whatever will not heal by itself.
        """
        failures = 0
        for pause in ENDURING_BACKOFF.pauses():
            if self._is_stopped():
                break
            began = monotonic()
            try:
                result = attempt()
            except WaitInterruptedError:
                if not self._is_stopped():
                    raise  # It is the caller's own.
                break
            except Exception as error:
                if self._is_stopped() and isinstance(error, PersistenceError):
                    break
                if self._is_part():
                    raise
                failures += 1
                self._bear(error, failures, began)
                failed(error)
                self._wait(pause)
            else:
                if failures or self._outage.is_on:
                    self._outage.end(began)
                return result
        return None

    def _bear(self, error: Exception, failures: int, began: float) -> None:
        kind = error_kind_of(error, self._dialect)
        if kind in {ErrorKind.LASTING, ErrorKind.REFUSED}:
            raise error
        if kind is ErrorKind.OUTAGE:
            # A pooled connection that the server has closed is replaced by the next
            # try. That is no outage.
            is_quick = monotonic() - began < STALE
            is_stale = is_quick and not isinstance(error, CannotConnectError)
            if failures > 1 or not is_stale:
                self._outage.begin(error, began)
        elif failures == (
            CONFLICTS_BEFORE_WARNING if kind is ErrorKind.CONFLICT else 1
        ):
            logger.warning("Trying again: %s", text_of(error))
