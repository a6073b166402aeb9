"""The row of a rebuild: what it is doing, and which tables it is to replace."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.rebuild.progress import RebuildPhase
from eventsourcing_alchemy.schema.tables import rebuilds


class RebuildRow(NamedTuple):
    """A rebuild that has begun.

    Attributes:
        phase: what it is doing.
        position: at which it switches; 0 before.
        declaration: of the tables that it builds.
        tables: schema and name of those that it has created, while they are built.
        old: schema and name of those that it replaces, afterwards.
    """

    phase: RebuildPhase
    position: int
    declaration: str
    tables: Sequence[tuple[str | None, str]]
    old: Sequence[tuple[str | None, str]]


class RebuildRows:
    """The row of a projection's rebuild, in whatever transaction.

    Args:
        datastore: of the projection.
        projection_name: of the projection.
        application_name: of the application that it follows.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        projection_name: str,
        application_name: str,
    ) -> None:
        self._options = datastore.options
        self._key = {
            "projection_name": projection_name,
            "application_name": application_name,
        }

    def read(self, connection: Connection) -> RebuildRow | None:
        """The row, None if there is none."""
        columns = rebuilds.c.phase, rebuilds.c.position, rebuilds.c.tables
        query = select(*columns).where(*self._is_ours())
        found = self._execute(connection, query).first()
        if found is None:
            return None
        phase, position, text = found
        tables: dict[str, Any] = json.loads(text)
        return RebuildRow(
            RebuildPhase(phase),
            position,
            tables["declaration"],
            [(schema, name) for schema, name in tables["new"]],
            [(schema, name) for schema, name in tables["old"]],
        )

    def begin(self, connection: Connection, row: RebuildRow) -> None:
        """Adds the row."""
        tables = {"declaration": row.declaration, "new": row.tables, "old": row.old}
        values = {
            **self._key,
            "phase": row.phase,
            "position": row.position,
            "tables": json.dumps(tables),
        }
        self._execute(connection, insert(rebuilds).values(values))

    def advance(
        self, connection: Connection, phase: RebuildPhase, position: int
    ) -> None:
        """Says that it has come to another phase."""
        values = {"phase": phase, "position": position}
        statement = update(rebuilds).where(*self._is_ours()).values(values)
        self._execute(connection, statement)

    def end(self, connection: Connection) -> None:
        """Deletes the row."""
        self._execute(connection, delete(rebuilds).where(*self._is_ours()))

    def _is_ours(self) -> list[ColumnElement[bool]]:
        return [rebuilds.c[name] == value for name, value in self._key.items()]

    def _execute(self, connection: Connection, statement: Any) -> Any:
        return connection.execute(statement, execution_options=self._options)
