"""Parts of transactions, which may be rolled back without the rest, or with more."""

from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Engine, event

from eventsourcing_alchemy.database.joining import current_transaction
from eventsourcing_alchemy.database.savepoints import names_around


class Part:
    """What is done in a savepoint, or in a transaction of the caller's.

    Attributes:
        is_undone: whether SQLAlchemy has rolled it back.
        savepoints: the names of those that are open around it.

    Args:
        connection: on which it is done.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_undone = False
        self.savepoints = names_around(connection.get_nested_transaction())


_going_on: WeakKeyDictionary[Connection, list[Part]] = WeakKeyDictionary()
"""Those whose transaction has not ended, by connection."""


def part_of(engine: Engine, connection: Connection) -> Part | None:
    """The part of a transaction that is going on; None for the whole of ours.

    Args:
        engine: of the database.
        connection: in the transaction.
    """
    transaction = current_transaction(engine)  # Another thread may have flushed.
    if transaction is not None and transaction.is_whole():
        return None
    part = Part(connection)
    if connection not in _going_on:
        _going_on[connection] = []
        for name, listener in _LISTENERS.items():
            event.listen(connection, name, listener)
    _going_on[connection].append(part)
    return part


def _note_commit(connection: Connection, *_: Any) -> None:
    _going_on[connection].clear()


def _note_rollback(connection: Connection, *_: Any) -> None:
    for part in _going_on[connection]:
        part.is_undone = True
    _going_on[connection].clear()


def _note_rollback_to(connection: Connection, savepoint: str, *_: Any) -> None:
    for part in _going_on[connection]:
        part.is_undone = part.is_undone or savepoint in part.savepoints


_LISTENERS = {
    "commit": _note_commit,
    "commit_twophase": _note_commit,
    "rollback": _note_rollback,
    "rollback_twophase": _note_rollback,
    "rollback_savepoint": _note_rollback_to,
}
