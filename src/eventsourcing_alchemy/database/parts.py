"""Parts of transactions, which may be rolled back without the rest, or with more."""

from typing import Any

from sqlalchemy import Connection, Engine, NestedTransaction, event

from eventsourcing_alchemy.database.joining import current_transaction


class Part:
    """What is done in a savepoint, or in a transaction of the caller's.

    Attributes:
        is_undone: whether SQLAlchemy has rolled it back.

    Args:
        connection: on which it is done.
    """

    def __init__(self, connection: Connection) -> None:
        self.is_undone = False
        self._savepoints = _savepoints(connection)
        event.listen(connection, "rollback", self._note_rollback)
        event.listen(connection, "rollback_savepoint", self._note_rollback_to)

    def _note_rollback(self, _: Connection) -> None:
        self.is_undone = True

    def _note_rollback_to(self, _: Connection, name: str, __: Any) -> None:
        self.is_undone = self.is_undone or name in self._savepoints


def part_of(engine: Engine, connection: Connection) -> Part | None:
    """The part of a transaction that is going on; None for the whole of ours.

    Args:
        engine: of the database.
        connection: in the transaction.
    """
    transaction = current_transaction(engine)  # Another thread may have flushed.
    if transaction is not None and transaction.is_whole():
        return None
    return Part(connection)


def _savepoints(connection: Connection) -> set[str]:
    """The names of the savepoints that are open."""
    names = set()
    savepoint: NestedTransaction | None = connection.get_nested_transaction()
    while savepoint is not None:
        # They have no public names; the tests run at both ends of SQLAlchemy's range.
        names.add(savepoint._savepoint)  # noqa: SLF001
        savepoint = savepoint._previous_nested  # noqa: SLF001
    return names
