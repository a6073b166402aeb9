"""Positions that are recorded: if they are not, somebody has taken them away."""

from eventsourcing_alchemy.errors import PositionLostError
from eventsourcing_alchemy.statements.tracking import LOWEST


class KnownPositions:
    """By application, a position that the projection's row cannot be before.

    Args:
        projection_name: of the projection.
    """

    def __init__(self, projection_name: str) -> None:
        self._projection_name = projection_name
        self._positions: dict[str, int] = {}

    def expect(self, application_name: str, position: int) -> None:
        """Notes a position that is recorded; 0 for none."""
        self._positions[application_name] = position or LOWEST

    def lowest(self, application_name: str) -> int:
        """Where the row may be at the lowest."""
        return self._positions.get(application_name, LOWEST)

    def check(self, application_name: str, known: int, position: int | None) -> None:
        """Makes sure that a row is not before what is known.

        Args:
            application_name: of the application.
            known: `lowest()`, from before the row was read.
            position: of the row, None if there is none.

        Raises:
            PositionLostError: if it is.
        """
        if position is not None and position >= known:
            return
        what = "has vanished" if position is None else f"has gone back to {position}"
        msg = (
            f"Projection {self._projection_name!r} was at position {known} of "
            f"{application_name!r}, which {what}: somebody has reset it, or restored "
            "the database. Start the runner again, and it continues from there"
        )
        raise PositionLostError(msg)
