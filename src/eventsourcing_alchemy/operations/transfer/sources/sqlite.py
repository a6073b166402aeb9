"""The tables of `eventsourcing.sqlite`: the same in every file, whoever uses it."""

from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import URL, BigInteger, Column, String, Table
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.transfer.layouts import UUIDS
from eventsourcing_alchemy.operations.transfer.sources.base import (
    Events,
    PersistenceModule,
    layout_of,
    required,
)
from eventsourcing_alchemy.operations.transfer.sources.tables import (
    positions,
    records,
)
from eventsourcing_alchemy.operations.transfer.values import HexUuid
from eventsourcing_alchemy.settings import Settings


class SQLiteModule(PersistenceModule):
    """`eventsourcing.sqlite`."""

    name = "eventsourcing.sqlite"
    appends_in_order = True

    def settings(self, env: Environment) -> Settings:
        """The file that SQLITE_DBNAME names."""
        return Settings(url=_url(required(env, "SQLITE_DBNAME")))

    def events(self, env: Environment, datastore: SQLAlchemyDatastore) -> Events:  # noqa: ARG002
        """`stored_events`, by SQLite's own row number."""
        layout = layout_of(env)
        position = Column("rowid", BigInteger, key=layout.position)
        return Events(records("stored_events", _id_type(env), position), layout)

    def snapshots(self, env: Environment, events: Events) -> Table:  # noqa: ARG002
        """`stored_snapshots`."""
        return records("stored_snapshots", _id_type(env))

    def tracking(self, env: Environment) -> Table:  # noqa: ARG002
        """`tracking`."""
        return positions("tracking")


def _id_type(env: Environment) -> TypeEngine[Any]:
    return HexUuid() if layout_of(env) is UUIDS else String()


def _url(name: str) -> URL:
    # The module takes a URI, too.
    is_uri = name.startswith("file:")
    path, _, query = name.partition("?") if is_uri else (name, "", "")
    if ":memory:" in name or "mode=memory" in name:
        raise ConfigurationError(
            f"SQLITE_DBNAME: {name!r} is an in-memory database, which no other "
            "process can read"
        )
    options = {**dict(parse_qsl(query)), "uri": "true"} if is_uri else {}
    return URL.create("sqlite", database=path, query=options)
