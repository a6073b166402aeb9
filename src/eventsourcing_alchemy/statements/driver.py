"""What the executor of statements asks of a driver."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from eventsourcing_alchemy.statements.compiled import Compiled, Rows


class Written(NamedTuple):
    """What is told of a statement that returns no rows."""

    rowcount: int


class Driver(Protocol):
    """What drivers do in ways of their own."""

    def cursor(self, driver_connection: Any) -> Any:
        """A cursor for our own statements."""

    def execute_many(self, cursor: Any, text: str, rows: Rows) -> None:
        """Executes an INSERT, once for each of several rows."""

    def begins(self, driver_connection: Any) -> bool:
        """Whether `begin_with()` saves a round trip."""

    def begin_with(
        self, driver_connection: Any, compiled: Compiled, bound: Any
    ) -> Written | None:
        """Begins a transaction, and executes its first statement."""

    def commit_with(
        self, driver_connection: Any, compiled: Compiled, rows: Sequence[Any]
    ) -> None:
        """Executes the last statement of a transaction, and commits."""
