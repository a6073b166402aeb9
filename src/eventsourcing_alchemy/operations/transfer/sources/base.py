"""What is asked of a persistence module that can be copied from."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from sqlalchemy import Table

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.transfer.layouts import (
    BY_ID_TYPE,
    Layout,
)
from eventsourcing_alchemy.settings import Settings, Variables


class Events(NamedTuple):
    """Where the events are.

    Attributes:
        table: has columns with the keys of the layout's.
        layout: what they are.
        application: name of it, where the table has those of several.
    """

    table: Table
    layout: Layout
    application: str | None = None


class PersistenceModule(ABC):
    """A persistence module that can be copied from.

    Attributes:
        name: value of PERSISTENCE_MODULE.
        appends_in_order: whether no position appears below one that was seen.
    """

    name: str
    appends_in_order: bool = False

    @abstractmethod
    def settings(self, env: Environment) -> Settings:
        """How to reach the database.

        Raises:
            ConfigurationError: names the variable that is missing or wrong.
        """

    @abstractmethod
    def events(self, env: Environment, datastore: SQLAlchemyDatastore) -> Events:
        """Where the events of an application are.

        Raises:
            ProgrammingError: if they cannot be copied.
        """

    @abstractmethod
    def snapshots(self, env: Environment, events: Events) -> Table | None:
        """The table of snapshots, with columns named as in `es_snapshots`."""

    def counter(self, env: Environment, datastore: SQLAlchemyDatastore) -> int:
        """The last position that was given to an event, also if that was deleted.

        0 where the database does not tell.
        """
        events = self.events(env, datastore)
        column = events.table.c[events.layout.position]

        def look() -> int:
            with datastore.reading() as connection, datastore.answering(connection):
                last_generated = datastore.dialect.last_generated
                return last_generated(connection, column, datastore.schema)

        return datastore.retrying(look)

    @abstractmethod
    def tracking(self, env: Environment) -> Table:
        """The table of positions of a projection, named as in `es_tracking`.

        With a column `projection_name` where it has those of several.
        """


def required(env: Environment, key: str, *, may_be_empty: bool = False) -> str:
    """The value of a variable.

    Args:
        env: the settings of the source.
        key: name of the variable.
        may_be_empty: whether to take an empty value as it is.

    Raises:
        ConfigurationError: if it is not set, or empty.
    """
    value = env.get(key) if may_be_empty else Variables(env).text(key)
    if value is None:
        names = " or ".join(env.create_keys(key))
        raise ConfigurationError(f"{names} is not set in the settings of the source")
    return value


def layout_of(env: Environment) -> Layout:
    """What the events are, by ORIGINATOR_ID_TYPE."""
    return BY_ID_TYPE[Variables(env).choice("ORIGINATOR_ID_TYPE", "uuid", "text")]


def prefix(env: Environment, nameless: str) -> str:
    """What the names of tables begin with, in modules with tables per application."""
    return env.name.lower() or nameless
