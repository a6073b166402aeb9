"""Where to copy to: the tables of this package."""

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Select, bindparam, func, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import no_application
from eventsourcing_alchemy.host import IntegrityError
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.event_tables import EVENT_TABLES, EventTable
from eventsourcing_alchemy.operations.reading import read
from eventsourcing_alchemy.operations.transfer.checks import check_events
from eventsourcing_alchemy.operations.transfer.layouts import TAGGED, Layout
from eventsourcing_alchemy.operations.transfer.log import Log
from eventsourcing_alchemy.operations.transfer.tags import COLUMNS, tag_rows
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.operations.verification.versions import (
    events_without_predecessor,
)
from eventsourcing_alchemy.operations.wrong_values import naming_wrong_values
from eventsourcing_alchemy.schema.tables import dcb_tags
from eventsourcing_alchemy.statements.applications import (
    application,
    last_position,
    lock_position,
    raise_position,
)
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.statements.tracking import highest_tracked

COMMIT_ROWS = 20_000
"""Events that are committed together: SQLite writes each page of an index once for
them, and what a kill takes away is copied again in a second."""


class Stored(NamedTuple):
    """What was committed.

    Attributes:
        events: how many.
        position: of the last one.
    """

    events: int
    position: int


class Target:
    """The events of an application in the tables of this package.

    Attributes:
        log: its events.
        datastore: the database.
        name: of the application.

    Args:
        datastore: the database.
        layout: of the events.
        name: of the application, which is registered.
        tells_time: whether the rows have a time of recording.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        layout: Layout,
        name: str,
        *,
        tells_time: bool,
    ) -> None:
        self.datastore = datastore
        self.name = name
        self.log = Log(
            datastore, layout.table, layout, name, side="target", with_time=tells_time
        )
        given = layout.columns if tells_time else layout.columns[:-1]
        self._columns = ("application_id", *given)

    def last(self) -> int:
        """The position of the last event, 0 before the first."""
        return self.datastore.retrying(self._last_now)

    def _last_now(self) -> int:
        application_id = self._application_id
        with (
            naming_wrong_values(self.datastore),
            self.datastore.statement() as executor,
        ):
            return _last_event(executor, application_id)

    def counter(self) -> int:
        """The last position that was given to an event, or that counts as given."""
        return self._number(last_position())

    def reached(self) -> int:
        """The highest position that a projection has reached, 0 if there is none."""
        return self._number(highest_tracked())

    def _number(self, statement: Select[Any]) -> int:
        parameters = {"application": self.name}
        return read(
            self.datastore, lambda it: int(it.rows(statement, parameters)[0][0] or 0)
        )

    def reserve(self, position: int) -> None:
        """Makes sure that new events get positions beyond one."""

        def attempt() -> None:
            with self.datastore.writing() as executor:
                self._reserve(executor, position)

        self.datastore.retrying(attempt)

    def _reserve(self, executor: Executor, position: int) -> None:
        parameters = {"application": self.name, "position": position}
        executor.execute(raise_position(), parameters)

    def events_without_predecessor(self, gt: int, lte: int) -> Iterator[Discrepancy]:
        """The events of which an aggregate lacks the version before.

        Args:
            gt: position above which to look.
            lte: position up to which to look.
        """
        if self.log.layout.id_type is None:
            return iter(())
        return events_without_predecessor(
            self.datastore,
            self.log.layout.table,
            self._application_id,
            self.name,
            gt=gt,
            lte=lte,
        )

    @property
    def _application_id(self) -> int:
        parameters = {"application": self.name}
        return int(rows(self.datastore, application(), **parameters)[0][0])

    def append(self, pages: Callable[[int], Iterable[Rows]], after: int) -> Stored:
        """Stores events under their own positions, as many as one commit takes.

        Args:
            pages: reads the pages of events behind a position.
            after: the last position that was stored.

        Raises:
            DataError: if a value does not fit.
            IntegrityError: if somebody else has stored events meanwhile.
        """
        tried = Stored(0, after)

        def attempt() -> Stored:
            nonlocal tried
            with self.datastore.writing() as executor:
                application_id = self._locked(executor)
                # Not by the counter, which may be beyond what is copied.
                last = _last_event(executor, application_id)
                if last == after:
                    tried = self._store(executor, application_id, pages, after)
                elif last != tried.position:  # Of a COMMIT whose answer was lost.
                    raise self._overtaken(after, last)
            return tried

        return self.datastore.retrying(attempt)

    def _locked(self, executor: Executor) -> int:
        parameters = {"application": self.name}
        executor.execute(lock_position(), parameters)
        found = executor.first(application(), parameters)
        if found is None:
            raise no_application(self.name)
        return int(found[0])

    def _store(
        self,
        executor: Executor,
        application_id: int,
        pages: Callable[[int], Iterable[Rows]],
        after: int,
    ) -> Stored:
        count, position = 0, after
        for page in pages(after):
            check_events(self.log.layout, page)
            self._insert(executor, application_id, page)
            count, position = count + len(page), page[-1][0]
            if count >= COMMIT_ROWS:
                break
        self._reserve(executor, position)
        return Stored(count, position)

    def _insert(self, executor: Executor, application_id: int, rows: Rows) -> None:
        width = len(self._columns) - 1
        given = [(application_id, *row[:width]) for row in rows]
        layout, insert = self.log.layout, self.datastore.dialect.insert_rows
        insert(executor, layout.table, self._columns, given)
        tags = tag_rows(application_id, rows) if layout is TAGGED else ()
        if tags:
            insert(executor, dcb_tags, COLUMNS, tags)

    def _overtaken(self, after: int, last: int) -> IntegrityError:
        return IntegrityError(
            f"The last position of {self.name!r} in the target was {after}, and is "
            f"now {last}: somebody else is recording or copying events there"
        )


def _last_event(executor: Executor, application_id: int) -> int:
    """The position of the last event of any kind, 0 before the first."""
    return max(
        executor.scalar(_last_of(each), {"id": application_id}) or 0
        for each in EVENT_TABLES
    )


@cache
def _last_of(each: EventTable) -> Select[Any]:
    return select(func.max(each.position)).where(
        each.application_id == bindparam("id", type_=BigInteger)
    )
