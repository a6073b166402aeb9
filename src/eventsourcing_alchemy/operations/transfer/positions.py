"""The positions that projections have reached."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, Table, bindparam, func, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import DataError
from eventsourcing_alchemy.operations.discrepancies import CopyRefusedError
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.tracking import (
    advance_tracking,
    insert_tracking,
    tracked_position,
)

_NO_APPLICATION = "__migration__"
"""What the library's modules keep in the same column, to mark the form of the table."""


class Positions:
    """The positions of a projection, in each application that it follows.

    Args:
        datastore: the database.
        table: of the positions.
        projection: its name.
    """

    def __init__(
        self, datastore: SQLAlchemyDatastore, table: Table, projection: str
    ) -> None:
        self.projection = projection
        self._datastore = datastore
        self._statement = _positions(table)
        has_several = "projection_name" in table.c
        self._parameters = {"projection": projection} if has_several else {}

    def read(self) -> Mapping[str, int]:
        """The positions, by the name of the application.

        Raises:
            UnknownNameError: if there are none.
            DataError: if one is no number.
        """
        rows = self._datastore.retrying(self._rows)
        if not rows:
            raise UnknownNameError(
                f"The source has no positions of projection {self.projection!r}: leave "
                f"it out, or correct its name"
            )
        for name, position in rows:
            if not isinstance(position, int):
                raise DataError(
                    f"Projection {self.projection!r} in the source is at position "
                    f"{position!r} of {name!r}, which is no whole number"
                )
        return dict(map(tuple, rows))

    def _rows(self) -> Any:
        with self._datastore.statement() as executor:
            return executor.rows(self._statement, self._parameters)


def _positions(table: Table) -> Select[Any]:
    name, position = table.c.application_name, func.max(table.c.notification_id)
    statement = select(name, position).where(name != _NO_APPLICATION).group_by(name)
    if "projection_name" not in table.c:
        return statement
    return statement.where(table.c.projection_name == bindparam("projection"))


def store_positions(
    datastore: SQLAlchemyDatastore, projection: str, positions: Mapping[str, int]
) -> None:
    """Stores the positions of a projection, in one transaction.

    Args:
        datastore: of the tables of this package.
        projection: name of it.
        positions: by the name of the application.

    Raises:
        CopyRefusedError: if the projection is further in an application.
    """

    def attempt() -> None:
        with datastore.writing() as executor:
            for application, position in positions.items():
                _store(executor, projection, application, position)

    datastore.retrying(attempt)


def _store(
    executor: Executor, projection: str, application: str, position: int
) -> None:
    key = {"projection": projection, "application": application}
    if executor.execute(advance_tracking(), {**key, "position": position}).rowcount:
        return
    reached = executor.scalar(tracked_position(), key)
    if reached is None:
        row = {
            "projection_name_": projection,
            "application_name_": application,
            "notification_id_": position,
        }
        executor.execute(insert_tracking(), row)
    elif reached > position:
        raise CopyRefusedError(
            f"Projection {projection!r} is at position {reached} of {application!r} in "
            f"the target, but at {position} in the source: it has run there. Leave it "
            f"out, or reset it"
        )
