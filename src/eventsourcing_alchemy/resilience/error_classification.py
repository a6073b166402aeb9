"""What an error of the database means for those who meet it."""

from enum import Enum, auto
from typing import Protocol

from sqlalchemy import exc

from eventsourcing_alchemy.errors import (
    AbandonedError,
    CannotConnectError,
    ConnectionLostError,
    TransientError,
    causes_of,
    is_about_lost_connection,
)


class ErrorKind(Enum):
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


class Classifies(Protocol):
    """Knows the codes of a database's errors: its dialect."""

    def error_kind(self, error: BaseException) -> ErrorKind:
        """What an error of the driver means."""

    def error_kind_of_statement(self, error: BaseException) -> ErrorKind:
        """The same, of an error that a statement has met."""


def error_kind_of(error: BaseException, dialect: Classifies) -> ErrorKind:
    """What an error means.

    Args:
        error: any exception. What it was raised from is looked at, too: the host's
            exceptions are raised from SQLAlchemy's.
        dialect: of the database.
    """
    kind = ErrorKind.LASTING
    for cause in causes_of(error):
        if isinstance(cause, exc.DBAPIError) and cause.orig is not None:
            found = error_kind_of_driver(cause.orig, cause.statement, dialect)
            is_lost = found is ErrorKind.LASTING and cause.connection_invalidated
            return ErrorKind.OUTAGE if is_lost else found
        if isinstance(cause, exc.TimeoutError):  # Of a pool.
            return ErrorKind.SHORTAGE
        if isinstance(cause, TransientError):
            return ErrorKind.CONFLICT
        if isinstance(cause, AbandonedError | ConnectionLostError):
            return ErrorKind.OUTAGE
        if is_about_lost_connection(cause):
            return ErrorKind.OUTAGE
        if isinstance(cause, CannotConnectError):
            kind = ErrorKind.OUTAGE  # Unless its own cause tells better.
    return kind


def error_kind_of_driver(
    error: BaseException, statement: str | None, dialect: Classifies
) -> ErrorKind:
    """What an error of the driver means.

    Args:
        error: of the driver.
        statement: that has met it; None where it was no statement.
        dialect: of the database.
    """
    if statement is None:
        return dialect.error_kind(error)
    return dialect.error_kind_of_statement(error)
