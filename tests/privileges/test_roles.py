"""The role for applications can do its work, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest
from eventsourcing.persistence import (
    DatabaseError,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, update
from sqlalchemy.exc import DBAPIError

from backends import Backend, Capability
from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyMaterialisedView, metadata
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.schema.migrate import missing_tables
from eventsourcing_alchemy.schema.tables import dead_letters
from factories import OpenFactory
from roles import AsApplication, Roles, connected

pytestmark = pytest.mark.least_privilege(only=True)

REFUSED = [
    "CREATE TABLE others (id INTEGER)",
    "CREATE SCHEMA others",
    "CREATE INDEX others ON es_events (topic)",
    "ALTER TABLE es_events ADD COLUMN other INTEGER",
    "DROP TABLE es_events",
    "TRUNCATE TABLE es_events",
    "UPDATE es_events SET topic = 'other'",
    "DELETE FROM es_events",
    "UPDATE es_text_events SET topic = 'other'",
    "DELETE FROM es_text_events",
    "UPDATE es_snapshots SET topic = 'other'",
    "DELETE FROM es_snapshots",
    "UPDATE es_text_snapshots SET topic = 'other'",
    "DELETE FROM es_text_snapshots",
    "UPDATE es_applications SET id = 2",
    "DELETE FROM es_applications",
    "UPDATE es_tracking SET projection_name = 'other'",
    "DELETE FROM es_tracking",
    "DELETE FROM es_leases",
    "SELECT * FROM es_alembic_version",
]


class Views(SQLAlchemyMaterialisedView):
    metadata = MetaData()
    table = Table("views", metadata, Column("number", Integer, primary_key=True))


@pytest.fixture
def roles(backend: Backend) -> Roles:
    assert isinstance(backend, AsApplication)
    assert backend.roles is not None
    return backend.roles


@pytest.mark.parametrize("statement", REFUSED)
def test_what_the_server_refuses(statement: str, roles: Roles) -> None:
    with (
        pytest.raises(DBAPIError, match=r"denied|must be owner") as failure,
        roles.connected("app") as connection,
    ):
        connection.exec_driver_sql(statement)
    assert "password" not in str(failure.value)


def test_every_table_is_granted(roles: Roles) -> None:
    with roles.connected("app") as connection:
        assert missing_tables(connection, None) == []
        for table in metadata.sorted_tables:
            assert connection.execute(table.select()).all() == []


def test_grants_can_be_repeated(roles: Roles) -> None:
    roles.run("after the migrations", roles.url("migrations"))


@pytest.mark.parametrize("create_table", ["yes", "no"])
def test_what_applications_do(create_table: str, open_factory: OpenFactory) -> None:
    factory = open_factory(CREATE_TABLE=create_table)
    event = StoredEvent(uuid4(), 1, "topic", b"state")
    recorder = factory.process_recorder()
    assert recorder.insert_events([event], Tracking("upstream", 1)) == [1]
    with recorder.subscribe() as subscription:
        assert next(subscription).originator_id == event.originator_id
    snapshots = factory.aggregate_recorder("snapshots")
    snapshots.insert_events([event])
    assert snapshots.select_events(event.originator_id) == [event]
    view = factory.tracking_recorder(EventCounters)
    view.incr_created_event_counter(Tracking("upstream", 2))
    view.incr_created_event_counter(Tracking("upstream", 3))
    assert view.get_created_event_counter() == 2


@pytest.mark.needs(Capability.ROW_POLICIES)
def test_rows_that_a_policy_hides(open_factory: OpenFactory, roles: Roles) -> None:
    factory = open_factory(CREATE_TABLE="no")
    recorder, snapshots = factory.application_recorder(), factory.aggregate_recorder()
    event = StoredEvent(uuid4(), 1, "topic", b"state")
    hidden = "row-level security"
    with policies(roles, "INSERT WITH CHECK (true)", "SELECT USING (true)"):
        with pytest.raises(ProgrammingError, match=hidden):
            recorder.insert_events([event])
        snapshots.insert_events([event])
    with (
        policies(roles, "INSERT WITH CHECK (true)"),
        pytest.raises(ProgrammingError, match=hidden),
    ):
        snapshots.insert_events([event])
    assert recorder.insert_events([event]) == [1]


@contextmanager
def policies(roles: Roles, *granted: str) -> Iterator[None]:
    """Nothing but this is granted for the rows of es_applications."""
    made = {
        f"p{number} ON es_applications": each for number, each in enumerate(granted)
    }
    alter = "ALTER TABLE es_applications {} ROW LEVEL SECURITY"
    with roles.connected("migrations") as connection:
        connection.exec_driver_sql(alter.format("ENABLE"))
        for name, each in made.items():
            connection.exec_driver_sql(f"CREATE POLICY {name} FOR {each}")
    yield
    with roles.connected("migrations") as connection:
        connection.exec_driver_sql(alter.format("DISABLE"))
        for name in made:
            connection.exec_driver_sql(f"DROP POLICY {name}")


def test_what_runners_do(open_factory: OpenFactory, roles: Roles) -> None:
    factory = open_factory("projection")
    lease = Lease(factory.datastore, "projection", "application")
    assert lease.acquire()
    assert lease.renew()
    lease.release()
    letters = DeadLetters(factory.tracking_recorder())
    letters.record(Tracking("application", 1), "topic", ValueError("why"), attempts=3)
    with roles.connected("app") as connection:
        # As after another attempt that failed.
        connection.execute(update(dead_letters).values(attempts=4, error="why again"))
    (letter,) = letters.select()
    assert letter.attempts == 4
    letters.discard(letter)
    assert letters.select() == []


def test_tables_that_are_missing(open_factory: OpenFactory) -> None:
    with pytest.raises(DatabaseError, match="denied"):
        open_factory().tracking_recorder(Views)
    # MariaDB does not tell whether a table is there that was not granted.
    with pytest.raises(DatabaseError, match=r"lacks views|denied.*views"):
        open_factory(CREATE_TABLE="no").tracking_recorder(Views)


class TestSchemaOfViews:
    @pytest.fixture
    def schema(self, roles: Roles) -> Iterator[str]:
        name = f"{roles.database.database}_views"
        roles.run("a schema of views", roles.database.url)
        yield name
        with connected(roles.database.url) as connection:
            cascade = "CASCADE" if roles.kind == "PostgreSQL" else ""
            connection.exec_driver_sql(f"DROP SCHEMA {name} {cascade}")

    def test_what_is_created_later_is_granted(self, schema: str, roles: Roles) -> None:
        table = Views.table.to_metadata(MetaData(), schema=schema)
        with roles.connected("migrations") as connection:
            table.create(connection)
        with roles.connected("app") as connection:
            connection.execute(insert(table).values(number=1))
            connection.execute(update(table).values(number=2))
            assert connection.scalars(select(table.c.number)).all() == [2]
            connection.execute(table.delete())
        with (
            pytest.raises(DBAPIError, match=r"denied|must be owner"),
            roles.connected("app") as connection,
        ):
            table.drop(connection)
