"""Sessions that a server refuses while they begin: nothing is left of them."""

from __future__ import annotations

import gc
import threading
from typing import NoReturn

import pytest
from eventsourcing.persistence import OperationalError
from sqlalchemy import Connection

from backends import Backend, Capability
from eventsourcing_alchemy import SQLAlchemyDatastore, SQLAlchemyFactory
from eventsourcing_alchemy.database import engines
from faults.waiting import wait_until

pytestmark = [
    pytest.mark.needs(Capability.SERVER),
    # SQLAlchemy 2.0 leaves it to the driver to close them when they are collected.
    pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning"),
]


@pytest.fixture
def datastore(
    factory: SQLAlchemyFactory, monkeypatch: pytest.MonkeyPatch
) -> SQLAlchemyDatastore:
    """Connects to a server that lets everybody in, and then refuses to work."""

    def refuse(connection: Connection) -> NoReturn:
        raise connection.dialect.loaded_dbapi.OperationalError(1047, "not ready")

    datastore = factory.datastore
    monkeypatch.setattr(datastore.engine.dialect, "initialize", refuse)
    return datastore


def is_watched() -> bool:
    return any(thread.name == "watchdog" for thread in threading.enumerate())


def test_refused_session_is_forgotten(
    datastore: SQLAlchemyDatastore, backend: Backend
) -> None:
    """Whoever tries again and again does not use up the sessions of the server."""
    with pytest.raises(OperationalError), datastore.reading():
        pass
    gc.collect()
    wait_until(lambda: not backend.leftovers(), "a session is left", patience=2)
    datastore.close()
    wait_until(lambda: not is_watched(), "it is watched still", patience=2)


def test_refused_session_that_is_kept_is_not_watched_for_ever(
    datastore: SQLAlchemyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The traceback of an error keeps it."""
    monkeypatch.setattr(engines, "SESSION_TIMEOUT", 0.2)
    with pytest.raises(OperationalError) as kept, datastore.reading():
        pass
    datastore.close()
    wait_until(lambda: not is_watched(), "it is watched still", patience=2)
    assert kept.tb
