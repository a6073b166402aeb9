"""Copying the snapshots that the target does not have."""

from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import Table

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import no_application
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.transfer.checks import check_snapshots
from eventsourcing_alchemy.operations.transfer.comparison import (
    Count,
    compared_snapshots,
    different_snapshots,
)
from eventsourcing_alchemy.operations.transfer.layouts import Row
from eventsourcing_alchemy.operations.transfer.snapshots import (
    COLUMNS,
    PURPOSE,
    Snapshots,
)
from eventsourcing_alchemy.statements.applications import application


class SnapshotCopy:
    """Copies the snapshots that the target does not have.

    Attributes:
        source: has snapshots.
        copied: how many were copied.

    Args:
        source: has snapshots.
        datastore: where to copy to.
        table: of this package.
        id_type: value of ORIGINATOR_ID_TYPE.
        name: of the application, which is registered.
    """

    def __init__(
        self,
        source: Snapshots,
        datastore: SQLAlchemyDatastore,
        table: Table,
        id_type: str | None,
        name: str,
    ) -> None:
        self.source = source
        self.copied = 0
        self._target = Snapshots(
            datastore, table, name, side="target", with_time=source.tells_time
        )
        self._datastore = datastore
        self._table = table
        self._id_type = id_type
        self._name = name
        given = COLUMNS if source.tells_time else COLUMNS[:-1]
        self._columns = ("application_id", "purpose", *given)

    def copy(self, count: Count) -> Iterator[Discrepancy]:
        """Copies them, some at a time, and compares all that the source had.

        What the source takes after it was looked at, the next call copies.

        Args:
            count: is told how many were looked at.

        Yields:
            Those that the target does not have as they are.
        """
        for keys in self.source.pages():
            rows, here = self.source.rows(keys), self._target.by_key(keys)
            check_snapshots(COLUMNS, self._id_type, rows)
            missing = [row for row in rows if row[:2] not in here]
            if missing:
                self._datastore.retrying(partial(self._store, missing))
                here = self._target.by_key(keys)
            self.copied += len(missing)
            yield from different_snapshots(self._name, rows, here)
            count(len(keys))

    def differences(self, count: Count) -> Iterator[Discrepancy]:
        """Those that the target does not have as they are."""
        return compared_snapshots(self._name, self.source, self._target, count)

    def _store(self, rows: Sequence[Row]) -> None:
        width = len(self._columns) - 2
        with self._datastore.writing() as executor:
            found = executor.first(application(), {"application": self._name})
            if found is None:
                raise no_application(self._name)
            given = [(found[0], PURPOSE, *row[:width]) for row in rows]
            self._datastore.dialect.insert_rows(
                executor, self._table, self._columns, given
            )
