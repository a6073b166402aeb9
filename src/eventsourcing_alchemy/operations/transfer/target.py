"""Where to copy to: the tables of this package."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError, no_application
from eventsourcing_alchemy.factory import SQLAlchemyFactory
from eventsourcing_alchemy.host import Environment, IntegrityError
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.operations.transfer.checks import check_texts
from eventsourcing_alchemy.operations.transfer.layouts import TAGGED, Layout
from eventsourcing_alchemy.operations.transfer.log import Log
from eventsourcing_alchemy.operations.transfer.tags import COLUMNS, tag_rows
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.operations.verification.versions import (
    events_without_predecessor,
)
from eventsourcing_alchemy.schema.tables import dcb_tags
from eventsourcing_alchemy.settings import Settings, Variables
from eventsourcing_alchemy.statements.applications import (
    application,
    last_position,
    lock_position,
    set_position,
)
from eventsourcing_alchemy.statements.compiled import Rows
from eventsourcing_alchemy.statements.executor import Executor

OURS = "eventsourcing_alchemy"

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
        self.log = Log(datastore, layout.table, layout, name, with_time=tells_time)
        given = layout.columns if tells_time else layout.columns[:-1]
        self._columns = ("application_id", *given)

    def last(self) -> int:
        """The position of the last event, 0 before the first."""
        return self.datastore.retrying(self._last_now)

    def _last_now(self) -> int:
        with self.datastore.statement() as executor:
            found: int = executor.scalar(last_position(), {"application": self.name})
            return found

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
            DataError: if a text does not fit.
            IntegrityError: if somebody else has stored events meanwhile.
        """
        tried = Stored(0, after)

        def attempt() -> Stored:
            nonlocal tried
            with self.datastore.writing() as executor:
                application_id, last = self._locked(executor)
                if last == after:
                    tried = self._store(executor, application_id, pages, after)
                elif last != tried.position:  # Of a COMMIT whose answer was lost.
                    raise self._overtaken(after, last)
            return tried

        return self.datastore.retrying(attempt)

    def _locked(self, executor: Executor) -> Sequence[int]:
        parameters = {"application": self.name}
        executor.execute(lock_position(), parameters)
        found = executor.first(application(), parameters)
        if found is None:
            raise no_application(self.name)
        return found

    def _store(
        self,
        executor: Executor,
        application_id: int,
        pages: Callable[[int], Iterable[Rows]],
        after: int,
    ) -> Stored:
        count, position = 0, after
        for page in pages(after):
            check_texts(self.log.layout, page)
            self._insert(executor, application_id, page)
            count, position = count + len(page), page[-1][0]
            if count >= COMMIT_ROWS:
                break
        parameters = {"application": self.name, "position": position}
        executor.execute(set_position(), parameters)
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


@contextmanager
def opened_target(
    variables: Mapping[str, str], name: str, layout: Layout, *, tells_time: bool
) -> Iterator[Target]:
    """Where to copy to, with its tables, and with the application registered.

    Args:
        variables: the settings, as the library's environment variables.
        name: of the application.
        layout: of the events.
        tells_time: whether they have a time of recording.

    Raises:
        ConfigurationError: if the settings cannot be used.
    """
    env = Environment(name, variables)
    _check_module(env)
    factory = SQLAlchemyFactory(env)
    try:
        _refuse_memory(factory.datastore)
        _check_id_type(factory, layout)
        if layout.id_type is None:
            factory.dcb_recorder()
        else:
            factory.application_recorder()
        yield Target(factory.datastore, layout, name, tells_time=tells_time)
    finally:
        factory.close()


@contextmanager
def existing_target(
    variables: Mapping[str, str], name: str, layout: Layout, *, tells_time: bool
) -> Iterator[Target]:
    """As `opened_target()`, to look at: nothing is created.

    Raises:
        ConfigurationError: if the settings cannot be used.
        UnknownNameError: if there is no such application.
    """
    env = Environment(name, variables)
    _check_module(env)
    datastore = SQLAlchemyDatastore(Settings.from_env(env))
    try:
        missing = datastore.dialect.missing_file(datastore.engine.url)
        if missing is not None:
            msg = f"SQLALCHEMY_URL: there is no database {str(missing)!r}"
            raise ConfigurationError(msg)
        if not rows(datastore, application(), application=name):
            raise UnknownNameError(f"The target has no application {name!r}")
        yield Target(datastore, layout, name, tells_time=tells_time)
    finally:
        datastore.close()


def _refuse_memory(datastore: SQLAlchemyDatastore) -> None:
    if datastore.dialect.is_private(datastore.engine.url):
        raise ConfigurationError(
            "SQLALCHEMY_URL: the target is in memory, and would vanish with this "
            "process: name a file or a server"
        )


def _check_module(env: Environment) -> None:
    variables = Variables(env)
    module = variables.text("PERSISTENCE_MODULE")
    if module not in (None, OURS):
        raise ConfigurationError(
            f"PERSISTENCE_MODULE: {module!r} cannot be copied to: expected {OURS} in "
            f"the settings of the target"
        )
    if variables.text("SQLALCHEMY_SCOPED_SESSION_TOPIC") is not None:
        raise ConfigurationError(
            "SQLALCHEMY_SCOPED_SESSION_TOPIC: a session commits when its request ends: "
            "set SQLALCHEMY_URL in the settings of the target instead"
        )


def _check_id_type(factory: SQLAlchemyFactory, layout: Layout) -> None:
    id_type = factory.datastore.settings.originator_id_type
    if layout.id_type not in (None, id_type):
        raise ConfigurationError(
            f"ORIGINATOR_ID_TYPE: the source has IDs of type {layout.id_type}, but the "
            f"target is set to {id_type}: set it to {layout.id_type}"
        )
