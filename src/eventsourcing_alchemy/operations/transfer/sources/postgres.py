"""The tables of `eventsourcing.postgres`, and of its module for events with tags."""

from collections.abc import Callable

from sqlalchemy import URL, BigInteger, Column, LargeBinary, MetaData, String, Table
from sqlalchemy import Uuid as UuidType

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment, TopicError, resolve_topic
from eventsourcing_alchemy.operations.transfer.layouts import TAGGED, UUIDS
from eventsourcing_alchemy.operations.transfer.sources.base import (
    Events,
    PersistenceModule,
    layout_of,
    prefix,
    required,
)
from eventsourcing_alchemy.operations.transfer.sources.tables import (
    positions,
    records,
)
from eventsourcing_alchemy.operations.transfer.values import Tags
from eventsourcing_alchemy.settings import Settings, Variables


class PostgresModule(PersistenceModule):
    """`eventsourcing.postgres`, which appends in order unless by functions."""

    name = "eventsourcing.postgres"

    def settings(self, env: Environment) -> Settings:
        """The database that the variables POSTGRES_… name."""
        variables = Variables(env)
        url = URL.create(
            "postgresql+psycopg",
            username=required(env, "POSTGRES_USER"),
            password=_password(env),
            host=required(env, "POSTGRES_HOST"),
            port=variables.integer("POSTGRES_PORT", 1) or 5432,
            database=required(env, "POSTGRES_DBNAME"),
        )
        schema = variables.text("POSTGRES_SCHEMA") or "public"
        return Settings(url=url, schema=schema)

    def events(self, env: Environment, datastore: SQLAlchemyDatastore) -> Events:  # noqa: ARG002
        """The table of the application."""
        layout = layout_of(env)
        name = f"{prefix(env, 'stored')}_events"
        position = Column("notification_id", BigInteger)
        id_type = UuidType() if layout is UUIDS else String()
        return Events(records(name, id_type, position), layout)

    def snapshots(self, env: Environment, events: Events) -> Table | None:
        """The table of the application."""
        id_type = events.table.c.originator_id.type
        return records(f"{prefix(env, 'stored')}_snapshots", id_type)

    def tracking(self, env: Environment) -> Table:
        """The table of the projection."""
        return positions(f"{prefix(env, 'notification')}_tracking")


class PostgresTTModule(PostgresModule):
    """`eventsourcing.dcb.postgres_tt`."""

    name = "eventsourcing.dcb.postgres_tt"

    def events(self, env: Environment, datastore: SQLAlchemyDatastore) -> Events:  # noqa: ARG002
        """The table of the application."""
        table = Table(
            f"{prefix(env, 'dcb')}_events_tt_main",
            MetaData(),
            Column("id", BigInteger, key="position"),
            Column("type", String),
            Column("data", LargeBinary),
            Column("tags", Tags),
        )
        return Events(table, TAGGED)

    def snapshots(self, env: Environment, events: Events) -> None:
        """There are none."""


def _password(env: Environment) -> str:
    topic = Variables(env).text("POSTGRES_GET_PASSWORD_TOPIC")
    if topic is None:
        return required(env, "POSTGRES_PASSWORD", may_be_empty=True)
    try:
        get_password: Callable[[], str] = resolve_topic(topic)
    except TopicError as error:
        raise ConfigurationError(f"POSTGRES_GET_PASSWORD_TOPIC: {error}") from error
    return get_password()
