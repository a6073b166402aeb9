"""Tables that somebody alters while they are in use, as a migration does."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from eventsourcing.application import Application
from eventsourcing.dcb.api import DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.projection import Projection
from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    insert,
    select,
)
from sqlalchemy.types import TypeEngine

from backends import Capability
from eventsourcing_alchemy import (
    SQLAlchemyFactory,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    SQLAlchemyTrackingRecorder,
)
from factories import OpenFactory

pytestmark = pytest.mark.needs(Capability.SERVER)

PREPARED = 10
"""Executions after which drivers have prepared a statement."""


class Seen(SQLAlchemyMaterialisedView):
    metadata = MetaData()
    seen = Table(
        "seen",
        metadata,
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("before", Integer, nullable=False),
    )

    def see(self, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            before = len(connection.execute(select(self.seen)).all())
            row = {"position": tracking.notification_id, "before": before}
            connection.execute(insert(self.seen), row)


class SeenProjection(Projection[Seen]):
    name = "seen"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.see(tracking)


class Parcels(Application[UUID]):
    def send(self) -> int:
        return self.save(Aggregate())[-1].notification.id


def widen(
    recorder: SQLAlchemyTrackingRecorder, table: str, column: str, to: TypeEngine[Any]
) -> None:
    """As another process does."""
    engine = create_engine(recorder.datastore.engine.url, poolclass=NullPool)
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        operations.alter_column(table, column, type_=to, existing_nullable=False)


@pytest.mark.parametrize("batch_size", [1, 500])
def test_runner_whose_view_s_table_is_altered(
    env: dict[str, str], batch_size: int
) -> None:
    with SQLAlchemyProjectionRunner(
        application_class=Parcels,
        projection_class=SeenProjection,
        view_class=Seen,
        env=env,
        batch_size=batch_size,
    ) as runner:
        for _ in range(PREPARED):
            runner.wait(runner.app.send(), timeout=10)
        widen(runner.view, "seen", "before", BigInteger())
        last = runner.app.send()
        runner.wait(last, timeout=10)
        with runner.view.reading() as connection:
            rows = connection.execute(select(Seen.seen).order_by("position")).all()
        assert rows == [(position, position - 1) for position in range(1, last + 1)]


def test_own_tables_that_are_altered(
    factory: SQLAlchemyFactory, open_factory: OpenFactory
) -> None:
    """Also statements that are a transaction of their own are prepared anew."""
    application, view = factory.application_recorder(), factory.tracking_recorder()
    tagged, aggregate = open_factory("Tagged").dcb_recorder(), uuid4()
    query = DCBQuery(items=[DCBQueryItem(tags=["tag"])])
    event = DCBEvent(type="type", data=b"", tags=["tag"])

    def append(version: int) -> None:
        stored = StoredEvent(aggregate, version, "topic", b"")
        assert [*(application.insert_events([stored]) or ())] == [version]
        assert tagged.append([event]) == version
        view.insert_tracking(Tracking("Other", version))

    def read(version: int) -> None:
        assert len(list(application.select_events(aggregate))) == version
        assert len(application.select_notifications(1, 100)) == version
        assert application.max_notification_id() == version
        assert view.max_tracking_id("Other") == version
        assert len(list(tagged.read(query))) == version

    for version in range(1, PREPARED + 1):
        append(version)
        read(version)
    widen(view, "es_events", "topic", String(300))
    widen(view, "es_dcb_events", "type", String(300))
    widen(view, "es_tracking", "projection_name", String(300))
    read(PREPARED)
    append(PREPARED + 1)
    read(PREPARED + 1)
