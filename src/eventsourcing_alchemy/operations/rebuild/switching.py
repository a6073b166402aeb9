"""Putting the new tables in the place of those in use."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, select, update

from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.operations.rebuild.building import Building
from eventsourcing_alchemy.operations.rebuild.checks import check_again
from eventsourcing_alchemy.operations.rebuild.new_view import NewView
from eventsourcing_alchemy.operations.rebuild.progress import RebuildPhase
from eventsourcing_alchemy.operations.rebuild.rebuild_row import (
    RebuildRow,
    RebuildRows,
)
from eventsourcing_alchemy.operations.rebuild.renaming import naming_tables_in_use
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.schema.tables import dead_letters, tracking

IMPATIENT_TRIES = 20
"""Tries that do not wait for those who use the tables, before one that does."""


class Outcome(Enum):
    """Which tables are in use."""

    NOT_SWITCHED = auto()
    """The old ones."""

    SWITCHED = auto()
    """The new ones."""

    DOUBTFUL = auto()
    """The new ones; nobody knows whether they lack some events."""


class Switching:
    """Replaces the tables of the view in use, at the position that it is at.

    While the row of its position is locked, no runner processes an event. So the new
    tables are exactly as far, and the position stays what it is.

    Args:
        in_use: the view in use.
        new: the new one.
        building: has the new one catch up.
        rows: of the rebuild.
        keeps_old: whether the replaced tables stay.
    """

    def __init__(
        self,
        in_use: ViewInUse,
        new: NewView,
        building: Building,
        rows: RebuildRows,
        *,
        keeps_old: bool,
    ) -> None:
        self._in_use = in_use
        self._new = new
        self._building = building
        self._rows = rows
        self._keeps_old = keeps_old
        self._dialect = new.datastore.dialect
        self._tries = 0

    def attempt(self) -> None:
        """Tries once; what others do at the same time may be in the way.

        Raises:
            PersistenceError: if it has to be tried again, or has been done.
            ProgrammingError: if the position has gone back meanwhile, or something
                would be lost with the tables in use.
        """
        self._building.require_lease()
        if self._dialect.switches_in_transaction:
            self._at_once()
        else:
            self._in_steps()

    def _at_once(self) -> None:
        with self._new.view.transaction() as connection:
            goal = self._locked_position(connection)
            self._building.rest(goal)
            self._dialect.limit_lock_waits(connection, waits=True)
            with naming_tables_in_use(connection):
                switch = self._switch(connection)
                self._dialect.lock_tables(connection, switch)
                check_again(connection, self._in_use, self._new)
                self._dialect.switch(connection, switch)
            self._move_rows(connection, goal)
            self._rows.end(connection)

    def _in_steps(self) -> None:
        self._tries += 1
        waits = self._tries > IMPATIENT_TRIES
        with self._in_use.recorder.transaction() as holding:
            goal = self._locked_position(holding)
            self._building.up_to(goal)
            with self._new.datastore.transaction() as connection:
                self._rows.advance(connection, RebuildPhase.SWITCHING, goal)
            with self._altering() as connection:
                self._dialect.limit_lock_waits(connection, waits=waits)
                switch = self._switch(connection)
                check_again(connection, self._in_use, self._new)
                self._locked_position(holding)  # If its connection was lost, not now.
                self._dialect.switch(connection, switch)
            self._has_switched(holding, goal)
        self.finish()

    def recover(self, row: RebuildRow) -> Outcome:
        """Finishes what was interrupted, if the new tables are in use already."""
        outcome = Outcome.SWITCHED
        if row.phase is RebuildPhase.BUILDING:
            return Outcome.NOT_SWITCHED
        if row.phase is RebuildPhase.SWITCHING:
            with self._in_use.recorder.transaction() as connection:
                if not self._new.is_switched(connection):
                    return Outcome.NOT_SWITCHED
                # What was processed since went to the old tables, or to the new ones.
                if self._locked_position(connection) != row.position:
                    outcome = Outcome.DOUBTFUL
                self._has_switched(connection, row.position)
        self.finish()
        return outcome

    def _has_switched(self, connection: Connection, position: int) -> None:
        self._move_rows(connection, position)
        self._rows.advance(connection, RebuildPhase.SWITCHED, position)

    def finish(self) -> None:
        """Does what remains when the new tables are in use."""
        with self._altering() as connection:
            self._dialect.finish_switch(connection, self._switch(connection))
        with self._in_use.recorder.transaction() as connection:
            self._rows.end(connection)

    def _switch(self, connection: Connection) -> Any:
        return self._new.switch(connection, keeps_old=self._keeps_old)

    @contextmanager
    def _altering(self) -> Iterator[Connection]:
        """A connection for statements that commit by themselves."""
        with translated(), self._new.datastore.engine.connect() as connection:
            try:
                with naming_tables_in_use(connection):
                    yield connection
            finally:
                # Its session has other settings now.
                connection.invalidate()

    def _locked_position(self, connection: Connection) -> int:
        """The position of the view in use, at which it stays until the end.

        Raises:
            ProgrammingError: if the new one is further.
        """
        recorder, name = self._in_use.recorder, self._in_use.application.name
        recorder.lock_tracking(connection, name)
        query = select(tracking.c.notification_id)
        query = query.where(*self._of(tracking, recorder.name))
        goal = self._execute(connection, query).scalar()
        if goal is None or goal < self._building.position:
            msg = (
                f"The position of {self._in_use} has gone back to {goal or 0} during "
                "the rebuild: start again, with restart=True"
            )
            raise ProgrammingError(msg)
        return int(goal)

    def _move_rows(self, connection: Connection, position: int) -> None:
        """Has the new view's dead letters take the place of the others."""
        name, new_name = self._in_use.recorder.name, self._new.view.name
        replaced = dead_letters.c.notification_id <= position
        of_old = self._of(dead_letters, name)
        self._execute(connection, delete(dead_letters).where(replaced, *of_old))
        self._execute(
            connection,
            update(dead_letters)
            .where(*self._of(dead_letters, new_name))
            .values(projection_name=name),
        )
        self.forget(connection)

    def forget(self, connection: Connection) -> None:
        """Deletes the position and the dead letters of the new view."""
        for table in (tracking, dead_letters):
            of_new = self._of(table, self._new.view.name)
            self._execute(connection, delete(table).where(*of_new))

    def _of(self, table: Table, projection_name: str) -> Sequence[ColumnElement[bool]]:
        return (
            table.c.projection_name == projection_name,
            table.c.application_name == self._in_use.application.name,
        )

    def _execute(self, connection: Connection, statement: Any) -> Any:
        options = self._in_use.recorder.datastore.options
        return connection.execute(statement, execution_options=options)
