"""INSERT or UPDATE in one statement."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from sqlalchemy import (
    Executable,
    Table,
)

Merge = Callable[[str, Sequence[Any]], Iterator[tuple[str, Any]]]
"""Makes statements, with their parameters, of one statement and those of many rows."""


class Upserts:
    """INSERT or UPDATE in one statement, where the database has one."""

    collects_upserts: ClassVar[bool] = False
    """Whether many upserts are executed faster together than one by one."""

    tells_texts_apart: ClassVar[bool] = False
    """Whether texts are equal only if all their characters are, without a collation."""

    def upsert_statement(
        self,
        table: Table,  # noqa: ARG002
        values: Mapping[str, Any],  # noqa: ARG002
        set_: Mapping[str, Any],  # noqa: ARG002
        index_elements: Sequence[str],  # noqa: ARG002
    ) -> Executable | None:
        """Inserts a row, or updates the one that is there, atomically.

        Args:
            table: to write to.
            values: of the row, if it is new.
            set_: of the row, if it is there.
            index_elements: names of the columns that tell whether it is there.

        Returns:
            None where it takes two statements.
        """
        return None

    def tracked_upsert_statement(
        self,
        table: Table,  # noqa: ARG002
        values: Mapping[str, Any],  # noqa: ARG002
        set_: Mapping[str, Any],  # noqa: ARG002
        index_elements: Sequence[str],  # noqa: ARG002
    ) -> Executable | None:
        """An upsert, if `advance_tracking()` finds its row, atomically.

        Args:
            table: as in `upsert_statement()`.
            values: as there.
            set_: as there; reads and writes this table only.
            index_elements: as there.

        Returns:
            None where that takes two statements. It returns a row if it did both.
        """
        return None

    def merge_of_upserts(self, width: int) -> Merge | None:  # noqa: ARG002
        """How to merge the rows of an upsert into few statements, in their order.

        Args:
            width: the number of parameters that come first, which are the new row.

        Returns:
            None where the driver's `executemany()` is as fast. Otherwise nobody knows
            the `rowcount` of each row.
        """
        return None

    def frozen(self, value: Any, driver_connection: Any) -> Any:  # noqa: ARG002
        """A value for the driver as it is now, whatever becomes of the original.

        Args:
            value: as the driver would take it.
            driver_connection: would take it.

        Returns:
            What has the same effect, and nobody can change.

        Raises:
            TypeError: if it is of a type that is not known here.
        """
        if isinstance(value, memoryview | bytearray):
            return bytes(value)
        raise TypeError(type(value).__name__)
