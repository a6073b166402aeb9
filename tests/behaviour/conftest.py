"""What several tests use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine

from backends import Backend
from eventsourcing_alchemy.dialects.urls import normalise_url


@pytest.fixture
def engine(backend: Backend) -> Iterator[Engine]:
    """An engine of the user's own, with SQLAlchemy's defaults."""
    engine = create_engine(normalise_url(backend.url))
    yield engine
    engine.dispose()
