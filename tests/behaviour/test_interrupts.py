"""What a thread holds when it is interrupted, at any point of our code."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from eventsourcing.persistence import Tracking

import eventsourcing_alchemy
from backends import Capability
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyMaterialisedView,
    metadata,
    upsert,
)
from factories import OpenFactory
from interrupts import interrupted

_PACKAGE = Path(eventsourcing_alchemy.__file__).parent

_IN_SQLALCHEMY = {
    str(_PACKAGE / "database" / "engines.py"),
    str(_PACKAGE / "resilience" / "connection_setup.py"),
}
"""Called by its pool, which loses a place where what it calls is interrupted."""

FILES = {str(path) for path in _PACKAGE.rglob("*.py")} - _IN_SQLALCHEMY
FILES |= {contextlib.__file__}

Operation = Callable[[SQLAlchemyApplicationRecorder], object]


def append(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.insert_events(new_events())


def append_in_transaction(recorder: SQLAlchemyApplicationRecorder) -> None:
    with recorder.transaction():
        append(recorder)


def read(recorder: SQLAlchemyApplicationRecorder) -> None:
    recorder.select_notifications(1, 1)
    with recorder.datastore.reading() as connection:
        connection.exec_driver_sql("SELECT 1").all()


def project(recorder: SQLAlchemyApplicationRecorder) -> None:
    view = SQLAlchemyMaterialisedView(recorder.datastore, name="projection")
    position = 1 + (view.max_tracking_id("upstream") or 0)
    row = {"projection_name": "a", "application_name": "b", "notification_id": position}
    with view.processing(Tracking("upstream", position)) as connection:
        connection.execute(upsert(metadata.tables["es_tracking"], row))
    assert view.max_tracking_id("upstream") == position


OPERATIONS = [append, append_in_transaction, read, project]


@pytest.mark.faults
@pytest.mark.needs(Capability.SHARED)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_interrupted_anywhere(open_factory: OpenFactory, operation: Operation) -> None:
    """No lock stays taken, no connection open, and no thread is left."""
    variables = {"SQLALCHEMY_LOCK_TIMEOUT": "2", "SQLALCHEMY_RETRY_TIMEOUT": "0"}
    variables["SQLALCHEMY_MAX_OVERFLOW"] = "-1"
    recorder = open_factory(**variables).application_recorder()
    operation(recorder)
    point = 0
    with ThreadPoolExecutor(1) as others:
        while interrupted(lambda: operation(recorder), point, FILES):
            others.submit(append, recorder).result(timeout=10)
            point += 1
    assert point > 100
    last = recorder.max_notification_id() or 0
    assert ids(recorder) == list(range(1, last + 1))
