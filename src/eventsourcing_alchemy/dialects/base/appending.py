"""How events are stored under the next positions of an application."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Executable, Table, exc

from eventsourcing_alchemy.errors import is_about_constraint, no_application
from eventsourcing_alchemy.host import StoredEvent
from eventsourcing_alchemy.statements.applications import (
    advance_position,
    advance_position_returning,
    application,
    insert_application,
)
from eventsourcing_alchemy.statements.events import insert_event, insert_event_at
from eventsourcing_alchemy.statements.executor import Executor


class Application(NamedTuple):
    """What tells an application from all others of a database."""

    name: str
    schema: str | None
    """Database schema of the tables, None for the default."""


class Taken(NamedTuple):
    """Positions that were taken.

    Attributes:
        application_id: whose they are.
        last: of them.
        time: to record the events at, in the database's own form; None for the default
            of the column.
    """

    application_id: int
    last: int
    time: str | None = None


_EVENT = (
    "application_id_",
    "notification_id_",
    "originator_id_",
    "originator_version_",
    "topic_",
    "state_",
)
"""Parameters of `insert_event()`."""


class Appending:
    """How events are stored under the next positions of an application."""

    def append(
        self,
        executor: Executor,
        table: Table,
        application: Application,
        events: Sequence[StoredEvent],
        *,
        notify: bool,  # noqa: ARG002
    ) -> int:
        """Stores events under the next positions of an application.

        The row of the application in `es_applications` stays locked until the end
        of the transaction: positions become visible in their order, and a rollback
        gives them back.

        Args:
            executor: is in a transaction, or in `alone()`.
            table: of the events.
            application: whose events they are.
            events: one or more.
            notify: whether to announce the events to other processes.

        Returns:
            The position of the last event; the others precede it without a gap.
        """
        taken = self.take_positions(executor, application, len(events))
        first = taken.last - len(events) + 1
        rows = [
            (
                taken.application_id,
                position,
                event.originator_id,
                event.originator_version,
                event.topic,
                event.state,
            )
            for position, event in enumerate(events, first)
        ]
        if taken.time is None:
            executor.execute_many(insert_event(table), _EVENT, rows)
        else:
            timed = [(*row, taken.time) for row in rows]
            names = (*_EVENT, "recorded_at_")
            executor.execute_many(insert_event_at(table), names, timed)
        return taken.last

    def refuse_too_large(
        self, executor: Executor, events: Sequence[StoredEvent]
    ) -> None:
        """Refuses what would cost the connection.

        Raises:
            DataError: names the limit of the server.
        """

    def take_positions(
        self, executor: Executor, application: Application, count: int
    ) -> Taken:
        """Takes the next `count` positions of an application."""
        parameters = {"application": application.name, "count": count}
        taken = self.advance(executor, parameters)
        if taken is None:
            self.register(executor, application.name)
            taken = self.advance(executor, parameters)
        if taken is None:
            raise no_application(application.name)
        return Taken(*taken)

    def advance(
        self, executor: Executor, parameters: Mapping[str, Any]
    ) -> Sequence[Any] | None:
        """Executes what takes positions.

        Returns:
            The values of `Taken`; None if there is no such application.
        """
        if executor.connection.dialect.update_returning:
            return executor.first(advance_position_returning(), parameters)
        return self.advance_and_select(executor, parameters, application())

    @staticmethod
    def advance_and_select(
        executor: Executor, parameters: Mapping[str, Any], found: Executable
    ) -> Sequence[Any] | None:
        """Does without RETURNING.

        Args:
            executor: as in `append()`.
            parameters: of `advance_position()`.
            found: selects the values of `Taken`, by some of these parameters.
        """
        if not executor.execute(advance_position(), parameters).rowcount:
            return None
        return executor.first(found, parameters)

    def register(self, executor: Executor, name: str) -> None:
        """Adds the row of an application, unless another process just did."""
        row = {"name_": name}
        try:
            with executor.connection.begin_nested():
                executor.execute(insert_application(), row)
        except exc.DBAPIError as error:
            if not is_about_constraint(error):
                raise
