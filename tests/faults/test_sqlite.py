"""SQLite: a disk that is full, and a file that somebody else has locked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event
from time import monotonic
from uuid import uuid4

import pytest
from eventsourcing.persistence import OperationalError, StoredEvent

from behaviour.test_runners import Noting, Parcels, Script
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyProjectionRunner, State
from factories import OpenFactory
from faults.disks import KIB, fill, small_disk
from faults.report import recovered
from faults.waiting import wait_until
from positions import Positions

SIZE = 4 * KIB * KIB


@pytest.fixture(name="small_disk")
def _small_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, SIZE) as disk:
        yield disk


@pytest.fixture
def env(small_disk: Path) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "eventsourcing_alchemy",
        "SQLALCHEMY_URL": f"sqlite:///{small_disk / 'test.db'}",
        "SQLALCHEMY_RETRY_TIMEOUT": "0.5",
    }


def large_event() -> StoredEvent:
    return StoredEvent(uuid4(), 1, "topic", bytes(256 * KIB))


def test_a_full_disk_is_an_error_and_loses_nothing(
    open_factory: OpenFactory, small_disk: Path
) -> None:
    recorder = open_factory().application_recorder()
    recorder.insert_events(new_events(3))
    with recorder.subscribe() as subscription:
        ballast = fill(small_disk)
        with pytest.raises(OperationalError, match="disk is full"):
            recorder.insert_events([large_event()])
        assert ids(recorder) == [1, 2, 3]
        assert [next(subscription).id for _ in range(3)] == [1, 2, 3]
        ballast.unlink()
        assert recorder.insert_events([large_event()]) == [4]
        assert next(subscription).id == 4


def test_a_runner_waits_for_room(env: dict[str, str], small_disk: Path) -> None:
    Noting.script = script = Script()
    ballast: list[Path] = []
    are_sent = Event()

    def fill_once(position: int) -> None:
        if position == 2 and not ballast:
            assert are_sent.wait(30)  # There is no room for them after that.
            ballast.append(fill(small_disk))

    script.before = fill_once
    with (
        Parcels(env) as parcels,
        SQLAlchemyProjectionRunner(
            application_class=Parcels,
            projection_class=Noting,
            view_class=Positions,
            env=env,
            lease_duration=None,
        ) as runner,
    ):
        for _ in range(3):
            last = parcels.send()
        are_sent.set()
        wait_until(lambda: runner.health().state is State.RETRYING, "it went on")
        assert "disk is full" in str(runner.health().last_error)
        ballast[0].unlink()
        free = monotonic()
        runner.wait(last, timeout=20)
        recovered("full disk", monotonic() - free)
        assert runner.view.all() == {1: 1, 2: 1, 3: 1}
