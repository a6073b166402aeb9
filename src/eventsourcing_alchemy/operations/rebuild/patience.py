"""How long a rebuild waits for room on the disk, or for a connection."""

from time import monotonic

from eventsourcing_alchemy.resilience.error_classification import (
    Classifies,
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.runners.health import Progress, State

LONGEST_SHORTAGE = 30.0
"""Seconds after which a rebuild gives up: it may be itself what uses up the room."""


class Patience(Progress):
    """Ends a rebuild that has met nothing but a shortage for some time.

    A runner waits as long as it takes, because it is not the runner that grows.

    Args:
        dialect: of the database.
    """

    def __init__(self, dialect: Classifies) -> None:
        super().__init__()
        self._dialect = dialect
        self._since: float | None = None

    def failed(self, error: BaseException, state: State = State.RETRYING) -> None:
        """Notes an error.

        Raises:
            BaseException: this one, if it has to end the rebuild.
        """
        super().failed(error, state)
        if not self.is_shortage(error):
            self._since = None
            return
        self._since = self._since or monotonic()
        if monotonic() - self._since >= LONGEST_SHORTAGE:
            raise error

    def reached(self, position: int | None) -> None:
        """Notes that it goes on."""
        super().reached(position)
        self._since = None

    def is_shortage(self, error: BaseException) -> bool:
        """Whether the database lacks something that somebody may make room for."""
        return error_kind_of(error, self._dialect) is ErrorKind.SHORTAGE
