"""The numbers that a database has generated for a column."""

from typing import Any

from sqlalchemy import Column, Connection


class GeneratedNumbers:
    """The numbers that a database has generated for a column."""

    def last_generated(
        self,
        connection: Connection,  # noqa: ARG002
        column: Column[Any],  # noqa: ARG002
        schema: str | None,  # noqa: ARG002
    ) -> int:
        """The last one, also if its row was deleted; 0 where the database cannot tell.

        Args:
            connection: where to look.
            column: of a table.
            schema: of the table, None for the default one.
        """
        return 0
