"""Tables are of an engine that can roll back, or are refused."""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import pytest
from eventsourcing.persistence import ProgrammingError, Tracking
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, make_url

from backends import Backend, Capability
from behaviour.workers import DeliberateError
from eventcounters import EventCounters
from eventsourcing_alchemy import SQLAlchemyMaterialisedView
from eventsourcing_alchemy.dialects.urls import normalise_url
from factories import OpenFactory

pytestmark = [pytest.mark.needs(Capability.STORAGE_ENGINES), pytest.mark.empty]

WITHOUT_TRANSACTIONS = "MyISAM"


class Explicit(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    table = Table(
        "explicit",
        metadata,
        Column("id", Integer, primary_key=True),
        mysql_engine=WITHOUT_TRANSACTIONS,
        mariadb_engine=WITHOUT_TRANSACTIONS,
    )


@pytest.fixture
def url(backend: Backend) -> str:
    """Of sessions that make tables without transactions by default."""
    command = f"SET SESSION default_storage_engine = {WITHOUT_TRANSACTIONS}"
    url = make_url(backend.url).update_query_dict({"init_command": command})
    return url.render_as_string(hide_password=False)


def make_by_hand(url: str) -> None:
    engine = create_engine(normalise_url(url))
    EventCounters.metadata.create_all(engine)
    engine.dispose()


def test_what_is_made_can_roll_back(url: str, open_factory: OpenFactory) -> None:
    view = open_factory(SQLALCHEMY_URL=url).tracking_recorder(EventCounters)
    with suppress(DeliberateError), view.transaction():
        view.incr_created_event_counter(Tracking("upstream", 1))
        raise DeliberateError
    view.incr_created_event_counter(Tracking("upstream", 1))
    assert view.get_created_event_counter() == 1


def test_sessions_are_left_as_they_were(url: str, open_factory: OpenFactory) -> None:
    factory = open_factory(SQLALCHEMY_URL=url, SQLALCHEMY_POOL_SIZE="1")
    view = factory.tracking_recorder(EventCounters)
    with view.reading() as connection:
        found = connection.exec_driver_sql("SELECT @@default_storage_engine").scalar()
    assert found == WITHOUT_TRANSACTIONS


@pytest.mark.parametrize("create_table", ["yes", "no"])
def test_what_was_made_by_others(
    url: str, open_factory: OpenFactory, create_table: str
) -> None:
    open_factory().application_recorder()
    make_by_hand(url)
    factory = open_factory(CREATE_TABLE=create_table)
    with pytest.raises(ProgrammingError, match="engine of event_counters has no tr"):
        factory.tracking_recorder(EventCounters)
    factory.application_recorder()


def test_what_a_view_declares(open_factory: OpenFactory) -> None:
    factory = open_factory()
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="engine of explicit has no tr"):
            factory.tracking_recorder(Explicit)
