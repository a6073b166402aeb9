"""What is told to OpenTelemetry, kept in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from eventsourcing_alchemy import SQLAlchemyDatastore, instrument
from factories import OpenFactory
from telemetry.collected import Collected


@pytest.fixture
def datastore(open_factory: OpenFactory) -> SQLAlchemyDatastore:
    """The database, to ask."""
    factory = open_factory()
    factory.application_recorder()
    return factory.datastore


@pytest.fixture
def collected(datastore: SQLAlchemyDatastore) -> Iterator[Collected]:
    """What is told, while the test goes on."""
    collected = Collected()
    undo = instrument(
        datastore,
        interval=0.001,
        meter_provider=collected.meter_provider,
        tracer_provider=collected.tracer_provider,
    )
    try:
        yield collected
    finally:
        undo()
        collected.close()
