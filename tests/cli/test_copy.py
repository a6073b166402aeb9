"""`copy` and `verify`: files of settings, exit codes, what they print."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from eventsourcing.persistence import StoredEvent, Tracking
from sqlalchemy import delete

from backends import Capability
from cli.command import EXECUTABLE, PATIENCE, Command
from eventsourcing_alchemy import metadata
from factories import OpenFactory
from transfer.histories import history, recorded, uuids
from transfer.origins import Origin, SQLiteOrigin

pytestmark = pytest.mark.needs(Capability.SHARED)


@pytest.fixture
def old(tmp_path: Path) -> Origin:
    """What the library's own module has recorded."""
    name = str(tmp_path / "old.db")
    return SQLiteOrigin(
        {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": name}
    )


@pytest.fixture
def file(old: Origin, tmp_path: Path) -> str:
    """The settings of before."""
    path = tmp_path / "old.env"
    lines = [f"{name}='{value}'\n" for name, value in old.env.items()]
    path.write_text("# The settings of before\n" + "".join(lines))
    return str(path)


def test_copy_and_verify(old: Origin, file: str, command: Command) -> None:
    old.record("Bank", history(uuids(3)))
    old.track("Totals", Tracking("Bank", 4))
    copying = ("copy", "Bank", "--from", file, "--projection", "Totals")
    assert command(*copying).stdout.splitlines() == [
        "Copied 9 events and 0 snapshots of Bank, up to position 9.",
        "Totals is at position 4 of Bank.",
        "Compared 9 records: both sides are the same.",
    ]
    document = command.json(*copying)
    assert (document["events"], document["position"]) == (0, 9)
    assert document["positions"] == {"Totals": {"Bank": 4}}
    assert command("verify").stdout == "Nothing is wrong.\n"
    assert command.json("verify", "Bank")["discrepancies"] == []
    assert command("verify", "Bank", "--from", file).stdout == "Nothing is wrong.\n"


def test_differences(
    old: Origin, file: str, command: Command, open_factory: OpenFactory
) -> None:
    old.record("Bank", history(uuids(3)))
    command("copy", "Bank", "--from", file)
    old.change(4, "topic", "another")
    result = command("copy", "Bank", "--from", file, code=1)
    assert result.stdout == "'Bank', position 4: differs in topic\n"
    (each,) = command.json("copy", "Bank", "--from", file, code=1)["differs"]
    assert (each["position"], each["problem"]) == (4, "differs in topic")
    result = command("verify", "Bank", "--from", file, code=1)
    assert result.stdout == "'Bank', position 4: differs in topic\n"

    events = metadata.tables["es_events"]
    with open_factory("Bank").datastore.transaction() as connection:
        gone = events.c.notification_id.in_([2, 9])
        connection.execute(delete(events).where(gone))
    document = command.json("verify", code=1)
    assert [each["position"] for each in document["discrepancies"]] == [2, 9, 5]
    document = command.json("verify", "--limit", "1", code=1)
    assert not document["are_all"]
    positions = command("verify", "--allow-gaps", code=1).stdout
    assert "is missing" not in positions


@pytest.mark.parametrize("value", ["'text'", "NULL", "17"])
def test_record_that_cannot_be_copied(
    old: Origin, file: str, command: Command, value: str
) -> None:
    old.record("Bank", history(uuids(3)))
    old.execute(f"UPDATE stored_events SET state = {value} WHERE rowid = 4")  # noqa: S608
    problem = "Error: Position 4 of the source: state is "
    for copying in (), ("--follow",), ("--json",):
        result = command("copy", "Bank", "--from", file, *copying, code=2)
        assert result.stderr.startswith(problem)


def test_wrong_use(old: Origin, file: str, command: Command, tmp_path: Path) -> None:
    assert "--from" in command("copy", "Bank", code=2).stderr
    assert "--from" in command("verify", "--from", file, code=2).stderr
    assert "no database" in command("copy", "Bank", "--from", file, code=2).stderr
    wrong = tmp_path / "wrong.env"
    for setting, problem in (
        ("", "PERSISTENCE_MODULE is not set"),
        ("PERSISTENCE_MODULE=eventsourcing.popo", "cannot be copied from"),
        ("PERSISTENCE_MODULE=eventsourcing.sqlite", "SQLITE_DBNAME is not set"),
    ):
        wrong.write_text(setting)
        result = command("copy", "Bank", "--from", str(wrong), code=2)
        assert problem in result.stderr
    old.record("Bank", [])
    result = command("copy", "Bank", "--from", file, "--projection", "T", code=2)
    assert "'tracking'" in result.stderr


def test_events_of_its_own(
    old: Origin, file: str, command: Command, open_factory: OpenFactory
) -> None:
    old.record("Bank", history(uuids(1)))
    own = StoredEvent(uuids(1)[0], 1, "topic", b"")
    open_factory("Bank").application_recorder().insert_events([own])
    result = command("copy", "Bank", "--from", file, code=5)
    assert "has events of its own: the last one, at position 1" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_follow(
    number: int,
    old: Origin,
    file: str,
    command: Command,
    env: dict[str, str],
    open_factory: OpenFactory,
) -> None:
    events = history(uuids(2))
    old.record("Bank", events[:4])
    process = subprocess.Popen(
        [*EXECUTABLE, "copy", "Bank", "--from", file, "--follow"],
        env={**os.environ, **env},
        cwd=command.directory,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        recorder = open_factory("Bank", SQLALCHEMY_SUBSCRIBE="poll")
        with recorder.application_recorder().subscribe() as subscription:
            for _ in range(4):
                next(subscription)
            old.record("Bank", events[4:])
            for _ in range(2):
                next(subscription)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "Copied 6 events" in printed
    assert len(recorded(open_factory)) == 6
