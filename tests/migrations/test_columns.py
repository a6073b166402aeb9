"""What the columns hold, and tell apart, on each database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Table, func, insert, select
from sqlalchemy.exc import IntegrityError

from eventsourcing_alchemy.schema.migrate import upgrade
from eventsourcing_alchemy.schema.tables import (
    applications,
    events,
    snapshots,
    text_events,
    text_snapshots,
    tracking,
)

LARGEST = 2**63 - 1
TEXTS = ["key", "Key", "kéy", "ke\u0301y", "key ", " key", "ßß", "ss", "SS", "🙂", "🙃"]


@pytest.fixture
def migrated(connection: Connection) -> Connection:
    upgrade(connection, None)
    return connection


def event(originator_id: UUID | str, **values: Any) -> dict[str, Any]:
    defaults = {"originator_version": 1, "topic": "t", "state": b"s"}
    return {"application_id": 1, "originator_id": originator_id, **defaults, **values}


def snapshot(originator_id: UUID | str, purpose: str) -> dict[str, Any]:
    return event(originator_id, purpose=purpose)


def test_texts_that_look_alike_are_different_keys(migrated: Connection) -> None:
    same = uuid4()
    rows: list[tuple[Table, list[dict[str, Any]]]] = [
        (applications, [{"name": each} for each in TEXTS]),
        (text_events, [event(t, notification_id=n) for n, t in enumerate(TEXTS)]),
        (snapshots, [snapshot(same, each) for each in TEXTS]),
        (text_snapshots, [snapshot(each, "p") for each in TEXTS]),
        (
            tracking,
            [
                {"projection_name": p, "application_name": a, "notification_id": 1}
                for p in TEXTS
                for a in TEXTS
            ],
        ),
    ]
    for table, values in rows:
        migrated.execute(insert(table), values)
    for column in (
        applications.c.name,
        text_events.c.originator_id,
        snapshots.c.purpose,
        text_snapshots.c.originator_id,
    ):
        assert sorted(migrated.scalars(select(column))) == sorted(TEXTS)
        for each in TEXTS:
            assert migrated.scalars(select(column).where(column == each)).all() == [
                each
            ]


def test_topics_that_look_alike_are_told_apart(migrated: Connection) -> None:
    values = [event(uuid4(), topic=t, notification_id=n) for n, t in enumerate(TEXTS)]
    migrated.execute(insert(events), values)
    for each in TEXTS:
        found = select(events.c.topic).where(events.c.topic.in_([each]))
        assert migrated.scalars(found).all() == [each]


def test_texts_are_ordered_by_code_point(migrated: Connection) -> None:
    migrated.execute(insert(applications), [{"name": each} for each in TEXTS])
    ordered = select(applications.c.name).order_by(applications.c.name)
    assert migrated.scalars(ordered).all() == sorted(TEXTS)


def test_texts_of_full_length_and_uuids_are_kept(migrated: Connection) -> None:
    name, topic, originator_id = "🙂" * 255, "🙂" * 1024, uuid4()
    migrated.execute(insert(text_events), event(name, topic=topic, notification_id=1))
    migrated.execute(insert(text_snapshots), snapshot(name, name))
    migrated.execute(insert(events), event(originator_id, notification_id=1))
    text_event = migrated.execute(select(text_events)).one()
    assert (text_event.originator_id, text_event.topic) == (name, topic)
    assert migrated.scalar(select(text_snapshots.c.purpose)) == name
    found = select(events.c.originator_id).where(
        events.c.originator_id == originator_id
    )
    assert migrated.scalar(found) == originator_id


def test_numbers_have_64_bits(migrated: Connection) -> None:
    migrated.execute(
        insert(applications).values(name="a", last_notification_id=LARGEST)
    )
    large = event(
        uuid4(),
        application_id=LARGEST,
        notification_id=LARGEST,
        originator_version=LARGEST,
    )
    migrated.execute(insert(events), large)
    row = migrated.execute(select(events)).one()
    assert (row.application_id, row.notification_id) == (LARGEST, LARGEST)
    assert row.originator_version == LARGEST
    assert migrated.scalar(select(applications.c.last_notification_id)) == LARGEST


@pytest.mark.parametrize("state", [b"", bytes(range(256)), b"\xff\x00%'\\" * 2**20])
def test_states_are_kept(migrated: Connection, state: bytes) -> None:
    migrated.execute(insert(events), event(uuid4(), state=state, notification_id=1))
    assert migrated.scalar(select(events.c.state)) == state


def test_applications_are_numbered_and_begin_at_zero(migrated: Connection) -> None:
    keys = [
        migrated.execute(insert(applications).values(name=name)).inserted_primary_key
        for name in ("a", "b")
    ]
    assert [tuple(key or ()) for key in keys] == [(1,), (2,)]
    assert migrated.scalars(select(applications.c.last_notification_id)).all() == [0, 0]


def test_the_database_tells_the_time_of_each_statement(migrated: Connection) -> None:
    recorded = []
    for number in (1, 2):
        migrated.execute(insert(events), event(uuid4(), notification_id=number))
        at = select(events.c.recorded_at).where(events.c.notification_id == number)
        recorded.append(migrated.execute(at).scalar_one().replace(tzinfo=UTC))
    assert abs(datetime.now(UTC) - recorded[0]) < timedelta(minutes=1)
    if migrated.dialect.name == "postgresql":
        # Not the time at which the transaction began.
        assert recorded[0] < recorded[1]


def test_positions_and_versions_are_unique(migrated: Connection) -> None:
    one, two = uuid4(), uuid4()
    migrated.execute(insert(events), event(one, notification_id=1))
    for values in (event(two, notification_id=1), event(one, notification_id=2)):
        with pytest.raises(IntegrityError), migrated.begin_nested():
            migrated.execute(insert(events), values)
    other = event(one, notification_id=1, application_id=2)
    migrated.execute(insert(events), other)
    assert migrated.scalar(select(func.count()).select_from(events)) == 2
