"""PostgreSQL whose functions a role may not execute, or that has no such functions."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from eventsourcing.dcb.api import DCBAppendCondition, DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import IntegrityError
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    NullPool,
    Table,
    create_engine,
    select,
    text,
)

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyDCBRecorder
from factories import OpenFactory
from roles import AsApplication

pytestmark = [
    pytest.mark.needs(Capability.NOTIFY),
    pytest.mark.least_privilege(only=True),
]

LOCK = "pg_advisory_xact_lock(bigint)"
TRY_LOCK = "pg_try_advisory_xact_lock(bigint)"
NOTIFY = "pg_notify(text, text)"

own = Table(
    "own",
    MetaData(),
    Column("id", Integer),
    prefixes=["TEMPORARY"],
    postgresql_on_commit="DROP",
)


@pytest.fixture(params=[[LOCK], [NOTIFY], [LOCK, NOTIFY]])
def revoked(request: pytest.FixtureRequest, backend: Backend) -> Iterator[list[str]]:
    assert isinstance(backend, AsApplication)
    assert backend.roles is not None
    engine = create_engine(backend.roles.database.url, poolclass=NullPool)

    def execute(sql: str) -> None:
        with engine.begin() as connection:
            for function in request.param:
                connection.execute(text(sql.format(function)))

    execute("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC")
    yield request.param
    execute("GRANT EXECUTE ON FUNCTION {} TO PUBLIC")


def test_appends_do_without(
    revoked: list[str], open_factory: OpenFactory, caplog: pytest.LogCaptureFixture
) -> None:
    """After one warning for each; what others record is seen by polling."""
    recorder = open_factory().application_recorder()
    with caplog.at_level(logging.WARNING, "eventsourcing_alchemy"):
        assert recorder.insert_events(new_events()) == [1]
        assert recorder.insert_events(new_events(2)) == [2, 3]
        with recorder.transaction():
            assert recorder.insert_events(new_events()) == [4]
    assert ids(recorder) == [1, 2, 3, 4]
    warnings = [each for each in caplog.messages if "appends work without" in each]
    assert len(warnings) == len(revoked)


@pytest.mark.parametrize(
    "revoked",
    [[LOCK], [TRY_LOCK], [NOTIFY], [LOCK, TRY_LOCK, NOTIFY]],
    indirect=True,
)
def test_appends_with_conditions_do_without(
    revoked: list[str],  # noqa: ARG001
    open_factory: OpenFactory,
) -> None:
    """The row of the application is locked before the condition is looked at."""
    event = DCBEvent("T", b"data", ["seat"])
    condition = DCBAppendCondition(DCBQuery([DCBQueryItem(tags=["seat"])]))
    recorders = [open_factory().dcb_recorder() for _ in range(4)]
    both = Barrier(len(recorders))

    def book(recorder: SQLAlchemyDCBRecorder) -> int | None:
        both.wait()
        try:
            return recorder.append([event], condition)
        except IntegrityError:
            return None

    with ThreadPoolExecutor() as threads:
        booked = list(threads.map(book, recorders))
    assert sorted(booked, key=bool) == [None, None, None, 1]
    with recorders[0].transaction():
        assert recorders[0].append([event, event]) == 3
    assert [each.position for each in recorders[1].read()] == [1, 2, 3]


@pytest.mark.parametrize("has_tags", [False, True])
@pytest.mark.parametrize(
    "revoked",
    [[LOCK], [TRY_LOCK], [NOTIFY], [LOCK, TRY_LOCK, NOTIFY]],
    indirect=True,
)
@pytest.mark.usefixtures("revoked")
def test_first_append_within_a_transaction(
    open_factory: OpenFactory, has_tags: bool
) -> None:
    """What the transaction has done before is kept."""
    event = DCBEvent("T", b"data", ["seat"])
    condition = DCBAppendCondition(DCBQuery([DCBQueryItem(tags=["seat"])]))
    tagged = open_factory().dcb_recorder()
    recorder = open_factory("Other").application_recorder()
    with recorder.transaction() as connection:
        own.create(connection)
        if has_tags:
            assert tagged.append([event], condition) == 1
        else:
            assert recorder.insert_events(new_events()) == [1]
        assert connection.scalars(select(own.c.id)).all() == []
    assert tagged.head() == (1 if has_tags else None)
    assert ids(recorder) == ([] if has_tags else [1])
