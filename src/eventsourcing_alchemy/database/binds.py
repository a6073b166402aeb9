"""Connections and sessions of the caller's, in whose transaction to take part."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, overload

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, scoped_session

from eventsourcing_alchemy.database.transactions import ENDED
from eventsourcing_alchemy.errors import TransactionEndedError
from eventsourcing_alchemy.host import ProgrammingError

Bind = Connection | Session | scoped_session[Session]


Elsewhere = Callable[[Engine], bool]
"""Tells whether an engine leads to another database, for certain."""


def connection_of(bind: object, is_elsewhere: Elsewhere) -> Connection:
    """The connection of what the caller has.

    Args:
        bind: a connection or session.
        is_elsewhere: tells of which engine it must not be.

    Raises:
        ProgrammingError: if it is nothing that has one, or if that is of another
            database.
    """
    connection = _any_connection_of(bind, is_elsewhere)
    if is_elsewhere(connection.engine):
        url = connection.engine.url
        msg = (
            f"bind is connected to the {url.get_backend_name()} database "
            f"{url.database!r}, but this recorder uses another one: pass a connection "
            "to the recorder's database (if it is the same one, spell both URLs "
            "alike)"
        )
        raise ProgrammingError(msg)
    return connection


def _any_connection_of(bind: object, is_elsewhere: Elsewhere) -> Connection:
    if isinstance(bind, Connection):
        return bind
    if isinstance(bind, Session | scoped_session):
        return bind.connection(bind_arguments=_bind_arguments(bind, is_elsewhere))
    name = type(bind).__name__
    if hasattr(bind, "run_sync"):
        msg = (
            f"bind is a {name!r}, which works in coroutines only: call `await "
            "bind.run_sync(work)`, and transaction(bind) inside work(bind)"
        )
    else:
        msg = (
            f"bind is a {name!r}: expected an open sqlalchemy.Connection, or a "
            f"sqlalchemy.orm.Session"
        )
    raise ProgrammingError(msg)


def _bind_arguments(
    bind: Session | scoped_session[Session], is_elsewhere: Elsewhere
) -> dict[str, Any] | None:
    """Which of several engines a session is to use, None for the only one."""
    session = session_of(bind)
    binds = _binds_of(session)
    if session.bind is not None and not (binds and is_elsewhere(session.bind.engine)):
        return None
    here = [each for each in set(binds) if not is_elsewhere(each.engine)]
    if binds and len(here) != 1:
        msg = (
            f"bind is a session with binds=, {len(here)} of which may use the "
            "database of this recorder: pass the connection instead, "
            f'session.connection(bind_arguments={{"bind": engine}})'
        )
        raise ProgrammingError(msg)
    return {"bind": here[0]} if here else None


def _binds_of(session: Session) -> Collection[Engine | Connection]:
    # Public since SQLAlchemy 2.1; the tests run at both ends of its range.
    binds: Any = getattr(session, "binds", None)
    if binds is None:
        binds = vars(session)["_Session__binds"]
    found: Collection[Engine | Connection] = binds.values()
    return found


def is_bound(session: Session, connection: Connection) -> bool:
    """Whether a session was constructed for a connection."""
    return session.bind is connection or connection in _binds_of(session)


@overload
def session_of(bind: Session | scoped_session[Session]) -> Session: ...
@overload
def session_of(bind: Bind) -> Session | None: ...
def session_of(bind: Bind) -> Session | None:
    """The session that the caller has, None for a connection."""
    if isinstance(bind, Connection):
        return None
    return bind() if isinstance(bind, scoped_session) else bind


def flush(bind: Bind) -> None:
    """Executes what a session has collected."""
    if not isinstance(bind, Connection):
        bind.flush()


@contextmanager
def savepoint_of(bind: Bind) -> Iterator[None]:
    """A savepoint in the caller's transaction, for the time of the block.

    Raises:
        TransactionEndedError: if that transaction has ended, so that there is no
            savepoint. What the caller has now is rolled back.
    """
    is_done = False
    try:
        with bind.begin_nested():
            yield
            is_done = True
    except TransactionEndedError:
        bind.rollback()
        raise
    except DBAPIError as error:
        if not is_done or error.connection_invalidated:
            raise
        bind.rollback()
        raise TransactionEndedError(ENDED) from error
