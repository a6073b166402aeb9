"""Records that cannot be copied are named, and nothing is made of the application."""

from __future__ import annotations

import pytest
from eventsourcing.persistence import DataError, StoredEvent, Tracking
from sqlalchemy import select

from backends import Capability
from eventsourcing_alchemy import SQLAlchemyFactory, compare, copy, metadata
from eventsourcing_alchemy.operations.wrong_values import WrongValueError
from transfer.histories import history, uuids
from transfer.origins import Env, Origin

pytestmark = pytest.mark.needs(Capability.SHARED)

TEXT = {"ORIGINATOR_ID_TYPE": "text"}
SET_TEXT = "set ORIGINATOR_ID_TYPE=text in the settings of the source"
HEX = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("state = 'text'", "state is text, not bytes"),
        ("state = NULL", "state is missing, not bytes"),
        ("topic = NULL", "topic is missing, not text"),
        ("topic = x'ff'", "topic is bytes, not text"),
        ("topic = CAST(x'ff41' AS text)", "Could not decode to UTF-8 column 'topic'"),
        ("originator_id = 'me'", f"originator_id 'me' is not a UUID: {SET_TEXT}"),
        (f"originator_id = x'{HEX}'", "originator_id b.* is not a UUID$"),
        ("originator_id = 7", "originator_id '7' is not a UUID"),
        ("originator_version = 'a'", "originator_version is text, not a whole number"),
        ("originator_version = NULL", "originator_version is missing, not a whole"),
    ],
)
def test_event_of_the_librarys_sqlite(
    sqlite: Origin, env: Env, factory: SQLAlchemyFactory, assignment: str, problem: str
) -> None:
    sqlite.record("Bank", history(uuids(3), versions=1))
    sqlite.execute(f"UPDATE stored_events SET {assignment} WHERE rowid = 2")  # noqa: S608
    with pytest.raises(DataError, match=f"^Position 2 of the source: {problem}"):
        copy(sqlite.env, env, "Bank")
    factory.application_recorder()
    applications = metadata.tables["es_applications"]
    registered = select(applications.c.name)
    with factory.datastore.reading() as connection:
        assert connection.scalars(registered).all() == ["Application"]


def test_position_below_the_first(origin: Origin, env: Env) -> None:
    origin.record("Bank", history(uuids(3), versions=1))
    origin.change(2, origin.position, "-4")
    with pytest.raises(DataError, match=r"^Position -4 of the source: "):
        copy(origin.env, env, "Bank")


def test_snapshot(sqlite: Origin, env: Env) -> None:
    copy_wrong_snapshots(sqlite, env)


@pytest.mark.needs(Capability.ANY_VALUE)
def test_snapshot_of_this_package(ours: Origin, env: Env) -> None:
    copy_wrong_snapshots(ours, env)


def copy_wrong_snapshots(origin: Origin, env: Env) -> None:
    events = history(uuids(1), versions=2)
    origin.record("Bank", events)
    taken = StoredEvent(events[1].originator_id, 2, "snapshot", b"state")
    origin.snapshot("Bank", [taken])
    table = origin.table.replace("events", "snapshots")
    origin.execute(f"UPDATE {table} SET state = 'text'")  # noqa: S608
    named = f"snapshot of {taken.originator_id} at version 2 of the source: state is"
    with pytest.raises(DataError, match=named):
        copy(origin.env, env, "Bank")
    origin.execute(f"UPDATE {table} SET originator_id = 'me'")  # noqa: S608
    with pytest.raises(DataError, match="snapshot of the source cannot be read: "):
        copy(origin.env, env, "Bank")


@pytest.mark.needs(Capability.ANY_VALUE)
def test_of_this_package(ours: Origin, env: Env) -> None:
    ours.record("Bank", history(uuids(3), versions=1))
    ours.track("Totals", Tracking("Bank", 2))
    copy(ours.env, env, "Bank")
    ours.change(2, "recorded_at", "today")
    with pytest.raises(DataError, match=r"^Position 2 of the source: .*'today'"):
        copy(ours.env, env, "Bank")
    with pytest.raises(DataError, match=r"^Position 2 of the source: .*'today'"):
        list(compare(ours.env, env, "Bank"))
    there = {**ours.env, **env}
    with pytest.raises(DataError, match=r"^Position 2 of the target: .*'today'"):
        list(compare(there, ours.env, "Bank"))
    ours.change(2, "recorded_at", "2026-01-01 00:00:00")
    ours.execute("UPDATE es_tracking SET notification_id = 'a'")
    with pytest.raises(DataError, match="is at position 'a' of 'Bank'"):
        copy(ours.env, env, "Bank", ["Totals"])
    ours.execute("UPDATE es_applications SET last_notification_id = 'a'")
    with pytest.raises(WrongValueError, match="last_notification_id 'a' is text"):
        copy(ours.env, env, "Bank")


@pytest.mark.needs(Capability.NOTIFY)
def test_text_ids_of_postgres(postgres: Origin, env: Env) -> None:
    as_text = type(postgres)({**postgres.env, **TEXT})
    as_text.record("Bank", [StoredEvent("me", 1, "topic", b"")])
    problem = (
        f"^Position 1 of the source: originator_id is text, not a UUID: {SET_TEXT}"
    )
    with pytest.raises(DataError, match=problem):
        copy(postgres.env, env, "Bank")


@pytest.mark.needs(Capability.NOTIFY)
def test_uuids_of_postgres(postgres: Origin, env: Env) -> None:
    postgres.record("Bank", history(uuids(1)))
    problem = "originator_id is a UUID, not text: set ORIGINATOR_ID_TYPE=uuid"
    with pytest.raises(DataError, match=problem):
        copy({**postgres.env, **TEXT}, {**env, **TEXT}, "Bank")
