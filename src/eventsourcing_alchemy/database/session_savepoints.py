"""Savepoints of sessions, which begin at once where recorders join the transaction.

A session begins one when it next asks for its connection. Recorders do not ask the
session: what they record before would not be part of it.
"""

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from eventsourcing_alchemy.database.binds import is_bound
from eventsourcing_alchemy.database.joining import joined_connections


@event.listens_for(Session, "after_transaction_create")
def _begin_at_once(session: Session, transaction: SessionTransaction) -> None:
    if not transaction.nested:
        return
    for connection, given in joined_connections():
        if given is session or is_bound(session, connection):
            session.connection(bind_arguments={"bind": connection})
