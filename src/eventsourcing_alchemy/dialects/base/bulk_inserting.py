"""How many rows are stored at once."""

from collections.abc import Sequence

from sqlalchemy import Table

from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.parameters import insert_columns


class BulkInserting:
    """How many rows are stored at once."""

    def insert_rows(
        self, executor: Executor, table: Table, columns: Sequence[str], rows: Rows
    ) -> None:
        """Stores rows, in the fastest way that the driver has.

        Args:
            executor: is in a transaction.
            table: of this package.
            columns: names; the others get their defaults.
            rows: one or more, with a value for each column.
        """
        statement = insert_columns(table, tuple(columns))
        executor.execute_many(statement, [f"{name}_" for name in columns], rows)
