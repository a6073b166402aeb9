"""Connections and sessions of the caller's, in whose transaction to take part."""

from eventsourcing.persistence import ProgrammingError
from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

Bind = Connection | Session | scoped_session[Session]


def connection_of(bind: object) -> Connection:
    """The connection of what the caller has.

    Raises:
        ProgrammingError: if it is nothing that has one.
    """
    if isinstance(bind, Connection):
        return bind
    if isinstance(bind, Session | scoped_session):
        return bind.connection()
    msg = (
        f"bind is a {type(bind).__name__!r}: expected an open sqlalchemy.Connection, "
        "or a sqlalchemy.orm.Session"
    )
    raise ProgrammingError(msg)
