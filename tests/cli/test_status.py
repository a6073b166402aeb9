"""`status`: from the tables to exit codes, documents and tables."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent, Tracking

from backends import Capability
from cli.command import Command
from eventsourcing_alchemy import Lease, SQLAlchemyFactory
from factories import OpenFactory
from faults.waiting import wait_until

pytestmark = pytest.mark.needs(Capability.SHARED)


def record(factory: SQLAlchemyFactory, count: int) -> None:
    """Store events of one aggregate."""
    aggregate_id = uuid4()
    recorder = factory.application_recorder()
    recorder.insert_events(
        [
            StoredEvent(aggregate_id, version, "bank:Opened", b"{}")
            for version in range(1, count + 1)
        ]
    )


@pytest.mark.empty
@pytest.mark.needs(Capability.SERVER)
def test_a_database_without_tables(command_process: Command) -> None:
    result = command_process("status", "--json", code=3)
    assert "schema upgrade" in result.stderr
    assert result.stdout == ""


@pytest.mark.needs(Capability.FILE_LOCKS)
@pytest.mark.empty
def test_a_file_that_is_not_there_is_not_made(command: Command) -> None:
    assert "there is no database" in command("status", code=2).stderr
    assert "there is no database" in command("status", code=2).stderr


def test_nothing_to_show(factory: SQLAlchemyFactory, command: Command) -> None:
    factory.tracking_recorder()
    document = command.json("status")
    assert (document["applications"], document["projections"]) == ([], [])
    assert "No projections." in command("status").stdout


def test_positions(open_factory: OpenFactory, command_process: Command) -> None:
    command = command_process
    record(open_factory("Bank"), 5)
    tracking = open_factory("balances").tracking_recorder()
    tracking.insert_tracking(Tracking("Bank", 3))
    tracking.insert_tracking(Tracking("Gone", 7))
    with_lease = Lease(tracking.datastore, "balances", "Bank", duration=60)
    assert with_lease.acquire()
    document = command.json("status")
    (bank,) = document["applications"]
    assert (bank["name"], bank["last_position"]) == ("Bank", 5)
    assert bank["rate"] > 0
    behind, gone = document["projections"]
    assert (behind["position"], behind["lag"], behind["state"]) == (3, 2, "following")
    assert behind["lease"]["holder"] == with_lease.holder
    assert 0 < behind["lag_seconds"] < 60
    assert (gone["application"], gone["state"]) == ("Gone", "orphaned")
    assert gone["last_position"] is None


def test_names_and_limits(open_factory: OpenFactory, command: Command) -> None:
    record(open_factory("Bank"), 2)
    tracking = open_factory("balances").tracking_recorder()
    tracking.insert_tracking(Tracking("Bank", 1))
    lease = Lease(tracking.datastore, "balances", "Bank")
    lease.acquire()
    lease.release()
    document = command.json("status", "balances", "--max-lag", "0", code=1)
    (balances,) = document["projections"]
    assert balances["state"] == "stopped"
    command("status", "--max-lag", "1000")
    assert "'balances'" in command("status", "other", code=2).stderr


def test_copies_that_stand_by(open_factory: OpenFactory, command: Command) -> None:
    """They are seen while they wait, and not when they work, stop or have died."""
    record(open_factory("Bank"), 1)
    datastore = open_factory("balances").tracking_recorder().datastore
    first = Lease(datastore, "balances", "Bank", duration=60)
    assert first.acquire()
    waiting = [Lease(datastore, "balances", "Bank", duration=60) for _ in range(2)]
    dead = Lease(datastore, "balances", "Bank", duration=1e-3, holder="dead")
    dead._standby.show()
    stopping = Event()
    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(each.wait, stopping) for each in waiting]
        try:
            holders = sorted(each.holder for each in waiting)
            wait_until(lambda: standbys(command) == holders, "they are not seen")
            first.release()
            wait_until(lambda: any(each.is_held for each in waiting), "none works")
            (left,) = [each.holder for each in waiting if not each.is_held]
            wait_until(lambda: standbys(command) == [left], "both are seen")
        finally:
            stopping.set()
        assert sorted(each.result() for each in waits) == [False, True]
    assert standbys(command) == []


def standbys(command: Command) -> Any:
    (projection,) = command.json("status")["projections"]
    return projection["standbys"]


def test_hostile_names(open_factory: OpenFactory, command: Command) -> None:
    name = "[red]\x1b[2J\u202e\n[/nothing]"
    record(open_factory(name), 1)
    assert r"[red]\x1b[2J\u202e\n[/nothing]" in command("status").stdout
    assert command.json("status")["applications"][0]["name"] == name


@pytest.mark.once
def test_watching(open_factory: OpenFactory, command_process: Command) -> None:
    record(open_factory("Bank"), 5)
    tracking = open_factory("balances").tracking_recorder()
    tracking.insert_tracking(Tracking("Bank", 1))
    arguments = ("status", "--watch", "--json", "--interval", "0.1", "--max-lag", "0")
    with command_process.popen(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["progress"] == []
        tracking.insert_tracking(Tracking("Bank", 4))
        while True:
            (one,) = json.loads(process.stdout.readline())["progress"]
            if one["progress"]["rate"] > 0:
                break
        assert one["name"] == "balances"
        assert one["progress"]["seconds_left"] > 0
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
        assert process.stderr.read() == ""
