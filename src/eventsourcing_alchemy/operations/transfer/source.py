"""Where to copy from, opened."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from time import sleep

from sqlalchemy import Table

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.operations.transfer.existence import has_table
from eventsourcing_alchemy.operations.transfer.log import Log
from eventsourcing_alchemy.operations.transfer.positions import Positions
from eventsourcing_alchemy.operations.transfer.snapshots import Snapshots
from eventsourcing_alchemy.operations.transfer.sources.base import (
    Events,
    PersistenceModule,
)
from eventsourcing_alchemy.operations.transfer.sources.lookup import module_of

SETTLING = 2.0
"""Seconds in which an append ends that others have overtaken."""


class Source:
    """The events and snapshots of an application, where it was until now.

    Attributes:
        log: its events.
        snapshots: its snapshots, None where there are none.

    Args:
        datastore: the database.
        events: where they are.
        snapshots: the table of the snapshots, None where there is none.
        counter: reads the last position that was given to an event, as in
            `PersistenceModule.counter()`.
        appends_in_order: whether no position appears below one that was seen.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        events: Events,
        snapshots: Table | None,
        counter: Callable[[], int],
        *,
        appends_in_order: bool,
    ) -> None:
        self.snapshots = (
            None
            if snapshots is None
            else Snapshots(datastore, snapshots, events.application)
        )
        self.log = Log(datastore, *events)
        self._counter = counter
        self._appends_in_order = appends_in_order

    def given(self) -> int:
        """The last position that was given to an event, as far as anything tells.

        The event may be deleted by now.
        """
        counter = self._counter()
        return max(counter, self.log.head())

    def is_settled(self, after: int, upto: int) -> bool:
        """Whether nothing has appeared between two positions, nor will any more.

        Waits where there are gaps between them that may be filled.

        Args:
            after: position from which on that matters.
            upto: the last position that was seen.
        """
        if self._appends_in_order:
            return True
        before = self.log.count(after, upto)
        if before == upto - after:
            return True
        self.settle()
        return self.log.count(after, upto) == before

    def settle(self) -> None:
        """Waits for appends that others have overtaken."""
        if not self._appends_in_order:
            sleep(SETTLING)


@contextmanager
def opened_source(variables: Mapping[str, str], application: str) -> Iterator[Source]:
    """Where to copy from.

    Args:
        variables: the settings, as the library's environment variables.
        application: name of it.

    Raises:
        ConfigurationError: if the settings cannot be used.
        UnknownNameError: if the application is not there.
        ProgrammingError: if it cannot be copied.
    """
    env = Environment(application, variables)
    with _opened(env) as (module, datastore):
        events = module.events(env, datastore)
        _require(datastore, events.table, f"application {application!r}")
        snapshots = module.snapshots(env, events)
        yield Source(
            datastore,
            events,
            snapshots,
            partial(module.counter, env, datastore),
            appends_in_order=module.appends_in_order,
        )


@contextmanager
def opened_positions(
    variables: Mapping[str, str], projection: str
) -> Iterator[Positions]:
    """The positions of a projection, where it was until now.

    Args:
        variables: the settings, as the library's environment variables.
        projection: name of it.

    Raises:
        ConfigurationError: if the settings cannot be used.
        UnknownNameError: if the projection is not there.
    """
    env = Environment(projection, variables)
    with _opened(env) as (module, datastore):
        table = module.tracking(env)
        _require(datastore, table, f"projection {projection!r}")
        yield Positions(datastore, table, projection)


@contextmanager
def _opened(
    env: Environment,
) -> Iterator[tuple[PersistenceModule, SQLAlchemyDatastore]]:
    module = module_of(env)
    settings = replace(module.settings(env), is_for_reading=True)
    datastore = SQLAlchemyDatastore(settings)
    try:
        missing = datastore.dialect.missing_file(datastore.engine.url)
        if missing is not None:
            msg = f"The source has no database {str(missing)!r}"
            raise ConfigurationError(msg)
        yield module, datastore
    finally:
        datastore.close()


def _require(datastore: SQLAlchemyDatastore, table: Table, what: str) -> None:
    if not has_table(datastore, table):
        raise UnknownNameError(
            f"The source has no table {table.name!r}, where the records of {what} "
            f"would be: correct the name, the database or the schema"
        )
