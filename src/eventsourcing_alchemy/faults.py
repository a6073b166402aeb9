"""What an error of the database means for those who meet it."""

from enum import Enum, auto
from typing import TYPE_CHECKING

from sqlalchemy import exc

from eventsourcing_alchemy.errors import (
    AbandonedError,
    CannotConnectError,
    TransientError,
)

if TYPE_CHECKING:
    from eventsourcing_alchemy.dialects.base import BaseDialect


class Fault(Enum):
    """What to do about an error: try again, wait, or give up."""

    CONFLICT = auto()
    """Rolled back for certain, because of others: the next try may succeed."""

    CANCELLED = auto()
    """Rolled back for certain, by an operator or a limit of time. It may succeed, or be
    too much."""

    OUTAGE = auto()
    """The connection is lost, or cannot be made. A COMMIT that was under way may have
    been carried out, or not."""

    SHORTAGE = auto()
    """Rolled back for certain, for want of disk, memory or connections: it may succeed
    when somebody has made room."""

    REFUSED = auto()
    """The database will not do such things, as it is: a missing table or privilege, a
    password."""

    LASTING = auto()
    """It will not heal by itself: a constraint, a value that does not fit, and all that
    is not about a database."""


def fault_of(error: BaseException, dialect: "BaseDialect") -> Fault:
    """What an error means.

    Args:
        error: any exception. What it was raised from is looked at, too: the host's
            exceptions are raised from SQLAlchemy's.
        dialect: of the database.
    """
    cause: BaseException | None = error
    seen: set[int] = set()  # It may be its own cause.
    fault = Fault.LASTING
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        if isinstance(cause, exc.DBAPIError) and cause.orig is not None:
            return _fault_of_driver(cause, cause.orig, dialect)
        if isinstance(cause, exc.TimeoutError):  # Of a pool.
            return Fault.SHORTAGE
        if isinstance(cause, TransientError):
            return Fault.CONFLICT
        if isinstance(cause, AbandonedError):
            return Fault.OUTAGE
        if isinstance(cause, CannotConnectError):
            fault = Fault.OUTAGE  # Unless its own cause tells better.
        cause = cause.__cause__
    return fault


def _fault_of_driver(
    error: exc.DBAPIError, original: BaseException, dialect: "BaseDialect"
) -> Fault:
    fault = dialect.fault(original)
    if fault is Fault.LASTING and error.connection_invalidated:
        return Fault.OUTAGE
    return fault
