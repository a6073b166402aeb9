"""Whatever is stored is copied as it is, in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
from eventsourcing.persistence import DataError, StoredEvent, Tracking
from sqlalchemy import select, update

from backends import Capability
from behaviour.test_names import NAMES
from eventsourcing_alchemy import compare, copy, metadata
from eventsourcing_alchemy.operations.transfer import log, snapshots
from eventsourcing_alchemy.operations.transfer.layouts import Row
from eventsourcing_alchemy.operations.transfer.snapshots import Snapshots
from factories import OpenFactory, construct_factory
from transfer.histories import history, notifications, recorded, uuids
from transfer.origins import Env, Origin

pytestmark = pytest.mark.needs(Capability.SHARED)

TEXT = {"ORIGINATOR_ID_TYPE": "text"}
HOSTILE = [name for name in NAMES if name]


def with_text_ids(origin: Origin) -> Origin:
    return type(origin)({**origin.env, **TEXT})


@pytest.mark.parametrize("kind", ["ours", "sqlite"])
def test_text_ids_and_topics(
    kind: str, env: Env, open_factory: OpenFactory, request: pytest.FixtureRequest
) -> None:
    check_text_ids(request.getfixturevalue(kind), env, open_factory)


@pytest.mark.needs(Capability.NOTIFY)
def test_text_ids_of_postgres(
    postgres: Origin, env: Env, open_factory: OpenFactory
) -> None:
    check_text_ids(postgres, env, open_factory)


def check_text_ids(origin: Origin, env: Env, open_factory: OpenFactory) -> None:
    old = with_text_ids(origin)
    events = [StoredEvent(name, 1, name, name.encode()) for name in HOSTILE]
    old.record("Bank", events)
    taken = [StoredEvent(name, 1, name, name.encode()) for name in HOSTILE]
    old.snapshot("Bank", taken)
    copied = copy(old.env, {**env, **TEXT}, "Bank")
    assert (copied.events, copied.snapshots) == (len(HOSTILE), len(HOSTILE))
    assert recorded(open_factory, **TEXT) == notifications(events)
    recorder = open_factory("Bank", **TEXT).aggregate_recorder("snapshots")
    for snapshot in taken:
        assert recorder.select_events(snapshot.originator_id) == [snapshot]


def test_names(ours: Origin, env: Env, open_factory: OpenFactory) -> None:
    """Of applications and projections."""
    histories = {name: history(uuids(1)) for name in HOSTILE}
    for name, events in histories.items():
        ours.record(name, events)
        ours.track(name, Tracking(name, 3))
    for name, events in histories.items():
        assert copy(ours.env, env, name, [name]).positions == {name: {name: 3}}
        recorder = open_factory(name).application_recorder()
        assert recorder.select_notifications(None, 100) == notifications(events)


@pytest.mark.needs(Capability.NOTIFY)
def test_names_of_tables(postgres: Origin, env: Env, open_factory: OpenFactory) -> None:
    for name in ["it's", 'a "b"', ":a", "{}", "?"]:
        events = history(uuids(2))
        postgres.record(name, events)
        postgres.snapshot(name, events[:1])
        postgres.track(name, Tracking(name, 3))
        assert copy(postgres.env, env, name, [name]).snapshots == 1
        recorder = open_factory(name).application_recorder()
        assert recorder.select_notifications(None, 100) == notifications(events)


@pytest.mark.needs(Capability.SCHEMAS)
def test_schemas(env: Env, open_factory: OpenFactory) -> None:
    """Of one database, with names that drivers may misread."""
    old, new = (
        {**env, "SQLALCHEMY_SCHEMA": schema} for schema in ("old %s", 'new "%" :a')
    )
    events = history(uuids(3))
    Origin(old).record("Bank", events)
    assert copy(old, new, "Bank").events == 9
    found = recorded(open_factory, SQLALCHEMY_SCHEMA=new["SQLALCHEMY_SCHEMA"])
    assert found == notifications(events)


def test_time_of_recording(ours: Origin, env: Env, open_factory: OpenFactory) -> None:
    tables = [metadata.tables[name] for name in ("es_events", "es_snapshots")]
    ids = uuids(1)
    ours.record("Bank", history(ids))
    ours.snapshot("Bank", history(ids, versions=1))
    then = datetime(2001, 2, 3, 4, 5, 6, 789_012, tzinfo=UTC)
    with (
        closing(construct_factory("Bank", ours.env)) as old,
        old.datastore.transaction() as connection,
    ):
        for table in tables:
            connection.execute(update(table).values(recorded_at=then))
    copy(ours.env, env, "Bank")
    with open_factory("Bank").datastore.reading() as connection:
        for table in tables:
            times = set(connection.scalars(select(table.c.recorded_at)))
            assert {each.replace(tzinfo=UTC) for each in times} == {then}


def test_small_pages(
    origin: Origin,
    env: Env,
    open_factory: OpenFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log, "PAGE_ROWS", 2)
    monkeypatch.setattr(snapshots, "PAGE_KEYS", 2)
    events = history(uuids(4), versions=4)
    origin.record("Bank", events)
    origin.snapshot("Bank", events)
    copied = copy(origin.env, env, "Bank")
    assert (copied.events, copied.snapshots) == (16, 16)
    assert recorded(open_factory) == notifications(events)


def test_many_snapshots_of_an_aggregate(
    origin: Origin, env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither side reads more than a page of them at a time."""
    monkeypatch.setattr(snapshots, "PAGE_KEYS", 4)
    found: list[int] = []
    read = Snapshots._read

    def count(*args: Any) -> Sequence[Row]:
        rows = read(*args)
        found.append(len(rows))
        return rows

    monkeypatch.setattr(Snapshots, "_read", count)
    events = history(uuids(3), versions=10)
    origin.record("Bank", events)
    origin.snapshot("Bank", events)
    for copied in (30, 0):
        assert copy(origin.env, env, "Bank").snapshots == copied
    assert list(compare(origin.env, env, "Bank")) == []
    assert max(found) == 4


def test_large_states(
    origin: Origin,
    env: Env,
    open_factory: OpenFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Few of them are in memory at a time."""
    size, number = 60_000, 120
    monkeypatch.setattr(log, "PAGE_BYTES", 2 * size)
    monkeypatch.setattr(snapshots, "PAGE_BYTES", 2 * size)
    events = [
        StoredEvent(each, 1, "topic", bytes([n]) * size)
        for n, each in enumerate(uuids(number))
    ]
    origin.record("Bank", events)
    origin.snapshot("Bank", events)
    tracemalloc.start()
    try:
        copied = copy(origin.env, env, "Bank")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (copied.events, copied.snapshots) == (number, number)
    assert peak < number * size
    assert recorded(open_factory) == notifications(events)


def test_topics_that_do_not_fit(sqlite: Origin, env: Env) -> None:
    sqlite.record("Bank", [StoredEvent(uuids(1)[0], 1, "x" * 1025, b"")])
    with pytest.raises(
        DataError, match=r"Position 1 of the source: topic .* has 1025 characters"
    ):
        copy(sqlite.env, env, "Bank")
