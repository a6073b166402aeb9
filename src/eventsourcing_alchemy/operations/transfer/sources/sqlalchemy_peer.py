"""The tables of `eventsourcing_sqlalchemy`, on the databases that it works with."""

from sqlalchemy import BigInteger, Column, Table

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.transfer.layouts import UUIDS
from eventsourcing_alchemy.operations.transfer.sources.base import (
    Events,
    PersistenceModule,
    prefix,
    required,
)
from eventsourcing_alchemy.operations.transfer.sources.tables import (
    positions,
    records,
)
from eventsourcing_alchemy.schema.types import OriginatorUuid
from eventsourcing_alchemy.settings import Settings


class SQLAlchemyModule(PersistenceModule):
    """`eventsourcing_sqlalchemy`, whose IDs are always UUIDs."""

    name = "eventsourcing_sqlalchemy"

    def settings(self, env: Environment) -> Settings:
        """By the same variables as this package's."""
        required(env, "SQLALCHEMY_URL")
        return Settings.from_env(env)

    def events(self, env: Environment, datastore: SQLAlchemyDatastore) -> Events:  # noqa: ARG002
        """The table of the application."""
        name = f"{prefix(env, 'stored')}_events"
        position = Column("id", BigInteger, key="notification_id")
        return Events(records(name, OriginatorUuid, position), UUIDS)

    def snapshots(self, env: Environment, events: Events) -> Table:  # noqa: ARG002
        """The table of the application."""
        return records(f"{prefix(env, 'stored')}_snapshots", OriginatorUuid)

    def tracking(self, env: Environment) -> Table:
        """The table of the projection."""
        return positions(f"{prefix(env, 'notification')}_tracking")
