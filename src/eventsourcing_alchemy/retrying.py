"""Trying again what the database refused for the moment."""

import logging
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from eventsourcing.persistence import IntegrityError, PersistenceError

from eventsourcing_alchemy.backoff import Backoff
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.faults import Fault, fault_of

T = TypeVar("T")

logger = logging.getLogger("eventsourcing_alchemy")

BACKOFF = Backoff(first=0.01, longest=1.0)


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
    for pause in BACKOFF.pauses():
        try:
            return attempt()
        except IntegrityError:
            found = retry(settle, dialect, timeout) if is_ambiguous and settle else None
            if found is None:
                raise
            return found
        except PersistenceError as error:
            fault = fault_of(error, dialect)
            if fault not in {Fault.CONFLICT, Fault.OUTAGE}:
                raise
            deadline = deadline or monotonic() + timeout
            if monotonic() + pause > deadline:
                raise
            is_ambiguous = is_ambiguous or fault is Fault.OUTAGE
            logger.debug("Tries again: %s", error)
        sleep(pause)
    raise AssertionError  # The pauses do not end.
