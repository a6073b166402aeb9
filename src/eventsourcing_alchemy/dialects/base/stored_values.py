"""Values that are not of the type of their column."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, Table


class StoredValues:
    """Values that are not of the type of their column."""

    def misfits(
        self,
        table: Table,  # noqa: ARG002
        place: Sequence[str],  # noqa: ARG002
    ) -> Select[Any] | None:
        """The first rows after `:after` with values that are not of their type.

        Args:
            table: of the schema.
            place: columns of it that say what a row belongs to.

        Returns:
            The number of the row, which is the next `:after`; the columns that were
            asked for, as they are stored; the rest of the primary key, as a text; and
            the problem of each other column, NULL where there is none. None where the
            database takes no such values.
        """
        return None
