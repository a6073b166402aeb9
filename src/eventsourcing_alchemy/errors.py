"""SQLAlchemy's exceptions become the host's, at one place."""

from traceback import format_exception_only

from eventsourcing import persistence as host
from sqlalchemy import exc


class ConfigurationError(host.InfrastructureFactoryError, OSError):
    """A variable of the environment has a value that cannot be used.

    It is an `OSError` too, because that is what the persistence modules of the
    `eventsourcing` library raise for a variable that they cannot read.
    """


class TransientError(host.OperationalError):
    """Nothing was done, and another try may succeed."""


class LockTimeoutError(TransientError):
    """A lock was not released in time by another thread of this process."""


class CannotConnectError(host.OperationalError):
    """There is no connection, so nothing was sent to the database."""


class AbandonedError(host.OperationalError):
    """What was under way has been carried out, or not: nobody saw the outcome."""


LONGEST_TEXT = 10_000
"""Characters of the text of an error that are stored, or logged."""


def text_of(error: BaseException) -> str:
    """Type and message of an error, in characters that every database stores."""
    text = "".join(format_exception_only(error)).strip()[:LONGEST_TEXT]
    text = text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")
    return text[:LONGEST_TEXT]


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
    message = str(cause or error)
    for sqlalchemy_class, host_class in _HOST_ERRORS:
        if isinstance(error, sqlalchemy_class):
            return host_class(message)
    return host.PersistenceError(message)


class translated:  # noqa: N801 (it is used as a function is)
    """Raises the host's exception where one about the database would leave the block.

    What else SQLAlchemy raises, such as `NoResultFound`, is the user's own.
    """

    def __enter__(self) -> None:
        """Nothing to be done."""

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        """Translates."""
        if isinstance(error, exc.StatementError | exc.TimeoutError):
            raise host_error(error) from error
