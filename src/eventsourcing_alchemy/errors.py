"""SQLAlchemy's exceptions become the host's, at one place."""

import re
from collections.abc import Iterator
from traceback import format_exception_only
from typing import Any

from sqlalchemy import exc

from eventsourcing_alchemy import host


class ConfigurationError(host.InfrastructureFactoryError, OSError):
    """An environment variable has a value that this package cannot use.

    It is also an `OSError`, because the library's own persistence modules raise that
    for a variable that they cannot read. The message names the variable, the value and
    what is accepted.
    """


def missing_driver(name: str, error: ImportError) -> ConfigurationError:
    """The error for a driver that cannot be imported.

    Args:
        name: of the database and driver, as in a URL.
        error: tells what is missing.
    """
    return ConfigurationError(
        f"SQLALCHEMY_URL: the driver of {name!r} cannot be imported ({error}): install "
        "it. The extras 'binary', 'mysql' and 'mysqlclient' of eventsourcing-alchemy "
        "have drivers"
    )


def missing_extra(name: str, error: ModuleNotFoundError) -> ConfigurationError:
    """The error for an extra of this package that is not installed.

    Args:
        name: of the extra.
        error: tells what is missing.
    """
    return ConfigurationError(
        f"{error.name!r} is not installed: install eventsourcing-alchemy with the "
        f"extra {name!r}"
    )


class TransientError(host.OperationalError):
    """The operation had no effect, and may succeed if you repeat it."""


class LockTimeoutError(TransientError):
    """Another thread of this process did not release a lock in time.

    Keep transactions short, or raise `SQLALCHEMY_LOCK_TIMEOUT`.
    """


class TransactionEndedError(host.ProgrammingError):
    """A statement inside a `transaction()` block ended the transaction.

    Nothing more is committed. Let the block end the transaction.
    """


class CannotConnectError(host.OperationalError):
    """The database could not be reached, so nothing was sent to it."""


class ConnectionLostError(host.OperationalError):
    """The connection was lost before COMMIT, so nothing was recorded."""


LOST = (
    "The connection was lost, and your code caught the exception, so everything is "
    "rolled back. Try the transaction again"
)


class AlreadyProcessedError(host.IntegrityError):
    """A projection has already processed this event, or a later one.

    The block that raises it changes nothing. Two runners without a lease, or two
    library runners of the same projection, are the usual cause.
    """


class PositionLostError(host.ProgrammingError):
    """The position of a projection has disappeared, or has gone back.

    Somebody has reset the projection, or restored an older backup. Start the runner
    again: it continues from the position that it finds.
    """


class AbandonedError(host.OperationalError):
    """A thread was interrupted while its operation was under way.

    The operation may or may not have taken effect: read before you repeat it.
    """


LONGEST_TEXT = 10_000
"""Characters of the text of an error that are stored, or logged."""


def text_of(error: BaseException) -> str:
    """Type and message of an error, in characters that every database stores."""
    text = "".join(format_exception_only(error)).strip()[:LONGEST_TEXT]
    return storable(text)[:LONGEST_TEXT]


def storable(text: str) -> str:
    """A text in characters that every database stores."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def no_application(name: str) -> host.ProgrammingError:
    """The error for an application whose row is not to be found, nor to be added."""
    return host.ProgrammingError(
        f"es_applications has no row that can be updated for application {name!r}: "
        "check whether the row was deleted, or a policy (row-level security) hides it"
    )


def same_name(name: str, stored: str) -> host.ProgrammingError:
    """The error for a name that the database cannot tell from another one."""
    return host.ProgrammingError(
        f"The database does not distinguish application {name!r} from {stored!r}, "
        "which has events: give the application another name, or the database a "
        "collation that distinguishes case, accents and trailing spaces"
    )


_STATE = re.compile("[0-9A-Z]{5}")


def sqlstate_of(error: BaseException) -> str | None:
    """The SQLSTATE of a driver's error, None if the driver does not tell it.

    Args:
        error: what the driver raised.
    """
    for name in ("sqlstate", "pgcode"):  # Of most drivers, of psycopg2.
        state = getattr(error, name, None)
        if state is not None:
            return str(state)
    first = error.args[0] if error.args else None
    if isinstance(first, dict):  # Of pg8000.
        first = first.get("C")
    # Of ODBC: it comes before the message.
    return first if isinstance(first, str) and _STATE.fullmatch(first) else None


def is_about_constraint(error: BaseException) -> bool:
    """Whether a constraint refuses what was to be written.

    By the class of the error, or by its SQLSTATE: not every driver has that class.

    Args:
        error: SQLAlchemy's, or the driver's.
    """
    if isinstance(error, exc.IntegrityError):
        return True
    original = error.orig if isinstance(error, exc.DBAPIError) else error
    return (sqlstate_of(original) or "").startswith("23") if original else False


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from, each once: it may be its own cause."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause = _ended_by(cause)
        yield cause
        cause = cause.__cause__


_END_OF_SAVEPOINT = ("ROLLBACK TO SAVEPOINT ", "RELEASE SAVEPOINT ")


def _ended_by(error: BaseException) -> BaseException:
    """What ended the transaction, if the error is that a savepoint went with it.

    SQLAlchemy raises the second one, because it rolls back to the savepoint.
    """
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        before = error.orig.__context__
        statement = error.statement or ""
        if statement.startswith(_END_OF_SAVEPOINT) and isinstance(
            before, exc.DBAPIError
        ):
            return before
    return error


def driver_error_of(error: BaseException) -> BaseException | None:
    """What the driver raised; None if the error is not about that.

    Args:
        error: the host's, or SQLAlchemy's.
    """
    causes = (each for each in causes_of(error) if isinstance(each, exc.DBAPIError))
    return next((each.orig for each in causes), None)


# The first class that matches decides, so subclasses come before their bases.
_HOST_ERRORS: tuple[tuple[type[exc.SQLAlchemyError], type[Exception]], ...] = (
    (exc.IntegrityError, host.IntegrityError),
    (exc.DataError, host.DataError),
    (exc.OperationalError, host.OperationalError),
    (exc.InternalError, host.InternalError),
    (exc.ProgrammingError, host.ProgrammingError),
    (exc.NotSupportedError, host.NotSupportedError),
    (exc.DatabaseError, host.DatabaseError),
    (exc.InterfaceError, host.InterfaceError),
    (exc.DBAPIError, host.DatabaseError),
    (exc.StatementError, host.DataError),
    (exc.TimeoutError, host.ConnectionUnavailableError),
)


def host_error(error: exc.SQLAlchemyError) -> Exception:
    """The host's exception for one of SQLAlchemy's.

    Its message is the driver's own, without the statement and its parameters:
    these hold the states of events.

    Args:
        error: what SQLAlchemy raised.
    """
    cause = error.orig if isinstance(error, exc.StatementError) else None
    if cause is not None and _shows_row(cause):
        _hide_row(error, cause)
    message = str(cause or error)
    if cause is not None and is_about_constraint(cause):
        return host.IntegrityError(message)
    # Some say it by a code of another class: the limit of an idle transaction, say.
    if isinstance(error, exc.DBAPIError) and error.connection_invalidated:
        return host.OperationalError(message)
    for sqlalchemy_class, host_class in _HOST_ERRORS:
        if isinstance(error, sqlalchemy_class):
            return host_class(message)
    return host.PersistenceError(message)


_SHOW_ROW = {"23502", "23514", "44000"}
"""SQLSTATEs of constraints (NOT NULL, CHECK, CHECK OPTION) for which PostgreSQL tells
the whole row, and so the state of an event."""


def _shows_row(cause: BaseException) -> bool:
    return getattr(cause, "sqlstate", getattr(cause, "pgcode", None)) in _SHOW_ROW


def _hide_row(error: exc.SQLAlchemyError, cause: Any) -> None:
    """Leaves the row out of both, because a traceback shows both."""
    cause.args = (cause.diag.message_primary,)
    error.args = cause.args


class translated:  # noqa: N801 (it is used as a function is)
    """Raises the host's exception where one about the database would leave the block.

    What else SQLAlchemy raises, such as `NoResultFound`, is the user's own.
    """

    def __enter__(self) -> None:
        """Nothing to be done."""

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        """Translates."""
        told = error and _ended_by(error)
        if isinstance(told, exc.StatementError | exc.TimeoutError):
            raise host_error(told) from told
        if is_about_lost_connection(error):
            raise ConnectionLostError(LOST) from error


_LOST_CODE = "8s2b"
"""SQLAlchemy's code for statements after the loss of a connection, where that was
caught."""


def is_about_lost_connection(error: BaseException | None) -> bool:
    """Whether SQLAlchemy refuses a statement, because the connection was lost before.

    Args:
        error: any exception.
    """
    return isinstance(error, exc.PendingRollbackError) and error.code == _LOST_CODE
