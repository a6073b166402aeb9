"""What tells the transaction that began from a later one on the same connection."""

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

SAVEPOINT = "eventsourcing_transaction"


class Mark:
    """Of a transaction that nobody can end inside its block without being noticed.

    A subclass notices more.
    """

    def has_ended(self) -> bool:
        """Whether it is known to have ended. Asks nobody, where that can be avoided."""
        return False

    def is_busy(self) -> bool:
        """Whether the calling thread is in the midst of a statement of it."""
        return False

    def is_kept(self) -> bool:
        """Whether it is still the same; called once, before COMMIT."""
        return not self.has_ended()


class SavepointMark(Mark):
    """A savepoint, which every database forgets with the transaction.

    It takes two round trips, so it is for drivers that do not know the state of the
    transaction.

    Args:
        connection: has just begun the transaction.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.dialect.do_savepoint(connection, SAVEPOINT)

    def is_kept(self) -> bool:
        """Whether the savepoint is there, in a transaction that can be committed."""
        try:
            self._connection.dialect.do_release_savepoint(self._connection, SAVEPOINT)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise
            return False
        return True
