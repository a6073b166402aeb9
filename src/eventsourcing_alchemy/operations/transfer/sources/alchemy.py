"""The tables of this package, in another database or schema."""

from collections.abc import Mapping

from sqlalchemy import Table

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.discrepancies import CopyRefusedError
from eventsourcing_alchemy.operations.reading import (
    Reader,
    UnknownNameError,
    read,
)
from eventsourcing_alchemy.operations.transfer.layouts import (
    BY_ID_TYPE,
    TAGGED,
    TEXTS,
    UUIDS,
    Layout,
)
from eventsourcing_alchemy.operations.transfer.log import Log
from eventsourcing_alchemy.operations.transfer.sources.base import (
    Events,
    PersistenceModule,
)
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.statements.applications import last_position


class AlchemyModule(PersistenceModule):
    """`eventsourcing_alchemy`."""

    name = "eventsourcing_alchemy"
    appends_in_order = True

    def settings(self, env: Environment) -> Settings:
        """Those of this package."""
        return Settings.from_env(env)

    def events(self, env: Environment, datastore: SQLAlchemyDatastore) -> Events:
        """The table that has events of the application.

        Raises:
            CopyRefusedError: if there is no such application, or several tables have
                events of it.
        """
        _counter(env.name, datastore)
        found = layouts_with_events(datastore, env.name)
        if len(found) > 1:
            names = " and ".join(layout.table.name for layout in found)
            raise CopyRefusedError(
                f"Application {env.name!r} has events in {names}: only those of one "
                f"table can be copied"
            )
        layout = (
            found[0] if found else BY_ID_TYPE[datastore.settings.originator_id_type]
        )
        return Events(layout.table, layout, env.name)

    def snapshots(self, env: Environment, events: Events) -> Table | None:  # noqa: ARG002
        """The table of the same kind of IDs."""
        return SNAPSHOTS.get(events.layout.id_type)

    def counter(self, env: Environment, datastore: SQLAlchemyDatastore) -> int:
        """That of `es_applications`."""
        return _counter(env.name, datastore)

    def tracking(self, env: Environment) -> Table:  # noqa: ARG002
        """`es_tracking`."""
        return tables.tracking


SNAPSHOTS: Mapping[str | None, Table] = {
    "uuid": tables.snapshots,
    "text": tables.text_snapshots,
}
"""The tables of snapshots, by the type of IDs; there are none for events with tags."""


def layouts_with_events(datastore: SQLAlchemyDatastore, name: str) -> list[Layout]:
    """What kinds of events an application has.

    Args:
        datastore: the database.
        name: of the application.
    """
    return [
        layout
        for layout in (UUIDS, TEXTS, TAGGED)
        if Log(datastore, layout.table, layout, name).head()
    ]


def _counter(name: str, datastore: SQLAlchemyDatastore) -> int:
    def look(reader: Reader) -> int | None:
        rows = reader.rows(last_position(), {"application": name})
        return int(rows[0][0]) if rows else None

    found = read(datastore, look)
    if found is None:
        raise UnknownNameError(
            f"The source has no application {name!r}: names are case-sensitive"
        )
    return found
