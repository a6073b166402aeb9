"""SQLAlchemy's exceptions become the host's, at one place."""

from collections.abc import Iterator
from contextlib import contextmanager

from eventsourcing import persistence as host
from sqlalchemy import exc


class ConfigurationError(host.InfrastructureFactoryError, OSError):
    """A variable of the environment has a value that cannot be used.

    It is an `OSError` too, because that is what the persistence modules of the
    `eventsourcing` library raise for a variable that they cannot read.
    """


class LockTimeoutError(host.OperationalError):
    """A lock was not released in time by another thread of this process."""


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


@contextmanager
def translated() -> Iterator[None]:
    """Raises the host's exception where one about the database would leave the block.

    What else SQLAlchemy raises, such as `NoResultFound`, is the user's own.
    """
    try:
        yield
    except (exc.StatementError, exc.TimeoutError) as error:
        raise host_error(error) from error
