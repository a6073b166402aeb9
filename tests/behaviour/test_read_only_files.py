"""Files that can be read, and not written: backups, for the most part."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from eventsourcing.persistence import OperationalError, Tracking
from sqlalchemy import make_url

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventcounters import EventCounters
from factories import OpenFactory

pytestmark = [pytest.mark.needs(Capability.FILE_LOCKS), pytest.mark.empty]

OPTIONS = ["mode=ro", "immutable=1", "mode=ro&immutable=1"]


@pytest.fixture
def backup(backend: Backend, open_factory: OpenFactory, tmp_path: Path) -> Path:
    """A copy of a database with an event and a view."""
    factory = open_factory("Names")
    factory.application_recorder().insert_events(new_events())
    view = factory.tracking_recorder(EventCounters)
    view.incr_created_event_counter(Tracking("Names", 1))
    path = tmp_path / "backup.db"
    with closing(sqlite3.connect(make_url(backend.url).database or "")) as live:
        live.execute("VACUUM INTO ?", (str(path),))
    return path


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("create_table", ["yes", "no"])
def test_is_read(
    backup: Path, open_factory: OpenFactory, options: str, create_table: str
) -> None:
    before = backup.read_bytes()
    url = f"sqlite:///file:{backup}?{options}&uri=true"
    factory = open_factory("Names", SQLALCHEMY_URL=url, CREATE_TABLE=create_table)
    recorder = factory.application_recorder()
    assert ids(recorder) == [1]
    with recorder.subscribe() as subscription:
        assert next(subscription).id == 1
    view = factory.tracking_recorder(EventCounters)
    assert view.get_created_event_counter() == 1
    with pytest.raises(OperationalError, match="readonly database"):
        recorder.insert_events(new_events())
    with pytest.raises(OperationalError, match="readonly database"):
        view.incr_created_event_counter(Tracking("Names", 2))
    # Of an application that is not there, nothing is read.
    other = open_factory("Other", SQLALCHEMY_URL=url).application_recorder()
    assert other.max_notification_id() is None
    assert backup.read_bytes() == before


@pytest.mark.parametrize("options", OPTIONS[:1])
def test_of_a_database_that_is_written_to(
    backend: Backend, open_factory: OpenFactory, options: str
) -> None:
    writer = open_factory().application_recorder()
    url = f"sqlite:///file:{make_url(backend.url).database}?{options}&uri=true"
    reader = open_factory(SQLALCHEMY_URL=url).application_recorder()
    for position in range(1, 3):
        writer.insert_events(new_events())
        assert ids(reader) == list(range(1, position + 1))
