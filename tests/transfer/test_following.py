"""A copy that follows, until it is told to stop."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest
from eventsourcing.persistence import ProgrammingError, StoredEvent, Tracking

from backends import Capability
from eventsourcing_alchemy import (
    CopyPhase,
    CopyProgress,
    VerificationError,
    copy,
    verify,
)
from eventsourcing_alchemy.operations.transfer import source
from eventsourcing_alchemy.operations.transfer.positions import Positions
from factories import OpenFactory
from transfer.histories import history, notifications, recorded, uuids
from transfer.origins import Env, Origin

pytestmark = pytest.mark.needs(Capability.SHARED)
PATIENCE = 30.0


class Reached:
    """Tells when a copy has gone as far as a position."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.is_there = Event()

    def __call__(self, progress: CopyProgress) -> None:
        is_verified = progress.phase is CopyPhase.VERIFYING
        if is_verified and progress.position >= self.position:
            self.is_there.set()


def test_follows_until_it_is_told_to_stop(
    origin: Origin, env: Env, open_factory: OpenFactory
) -> None:
    ids = uuids(4)
    events = history(ids, versions=4)
    origin.record("Bank", events[:4])
    origin.track("Totals", Tracking("Bank", 4))
    first, second, stop = Reached(4), Reached(12), Event()

    def progress(told: CopyProgress) -> None:
        first(told)
        second(told)

    with ThreadPoolExecutor(1) as threads:
        copied = threads.submit(
            copy,
            origin.env,
            env,
            "Bank",
            ["Totals"],
            follow=True,
            stop=stop,
            progress=progress,
        )
        try:
            assert first.is_there.wait(PATIENCE)
            origin.record("Bank", events[4:12])
            assert second.is_there.wait(PATIENCE)
            # What is recorded last is copied after it is told to stop.
            origin.record("Bank", events[12:])
            origin.snapshot("Bank", [StoredEvent(ids[0], 4, "snapshot", b"")])
        finally:
            stop.set()
        result = copied.result(PATIENCE)
    assert (result.events, result.snapshots, result.position) == (16, 1, 16)
    assert result.positions == {"Totals": {"Bank": 4}}
    assert recorded(open_factory) == notifications(events)


def test_projection_that_has_run_in_the_new_place(
    origin: Origin, env: Env, open_factory: OpenFactory
) -> None:
    origin.record("Bank", history(uuids(2)))
    origin.track("Totals", Tracking("Bank", 4))
    view = open_factory("Totals").tracking_recorder()
    view.insert_tracking(Tracking("Bank", 5))
    with pytest.raises(ProgrammingError, match="at position 5 of 'Bank' in the target"):
        copy(origin.env, env, "Bank", ["Totals"])
    assert view.max_tracking_id("Bank") == 5


def test_no_snapshot_is_ahead_of_the_events(
    origin: Origin, env: Env, open_factory: OpenFactory
) -> None:
    """Events and snapshots are recorded while those from before are copied."""
    (aggregate_id,) = uuids(1)
    events = history([aggregate_id], versions=4)
    origin.record("Bank", events[:3])

    def record(told: CopyProgress) -> None:
        if (told.phase, told.position) == (CopyPhase.EVENTS, 3):
            origin.record("Bank", events[3:])
            origin.snapshot("Bank", [StoredEvent(aggregate_id, 4, "snapshot", b"")])

    copied = copy(origin.env, env, "Bank", progress=record)
    assert (copied.events, copied.snapshots) == (4, 1)
    assert list(verify(open_factory("Bank").datastore)) == []


def test_position_and_events_of_one_moment(
    origin: Origin, env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event-sourced projection goes on while its position is read."""
    events = history(uuids(1))
    origin.record("Totals", events[:2])
    origin.track("Totals", Tracking("Bank", 2))
    read = Positions.read

    def read_too_early(positions: Positions) -> Mapping[str, int]:
        found = read(positions)
        monkeypatch.setattr(Positions, "read", read)
        origin.record("Totals", events[2:])
        return {**found, "Bank": 1}

    monkeypatch.setattr(Positions, "read", read_too_early)
    copied = copy(origin.env, env, "Totals", ["Totals"])
    assert (copied.events, copied.positions) == (3, {"Totals": {"Bank": 2}})


def test_gap_that_is_filled(
    peer: Origin,
    env: Env,
    open_factory: OpenFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An append that others have overtaken is waited for."""
    events = history(uuids(4), versions=1)
    peer.record("Bank", events)
    peer.execute("UPDATE bank_events SET id = 9 WHERE id = 2")

    def commit_the_other(_: float) -> None:
        peer.execute("UPDATE bank_events SET id = 2 WHERE id = 9")

    peer.execute("UPDATE bank_events SET id = 5 WHERE id = 4")
    monkeypatch.setattr(source, "sleep", commit_the_other)
    copy(peer.env, env, "Bank")
    kept = [1, 2, 3, 5]
    assert [each.id for each in recorded(open_factory)] == kept


@pytest.mark.parametrize("name", ["Totals", "Bank"])
def test_others_record_while_a_gap_is_waited_for(
    peer: Origin, env: Env, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each time: there is no moment at which the source is as it was before."""
    events = history(uuids(9), versions=1)
    peer.record("Bank", events[:3])
    peer.delete(2)
    peer.track(name, Tracking("Shop", 1))
    more = events[3:]
    monkeypatch.setattr(source, "sleep", lambda _: peer.record("Bank", [more.pop(0)]))
    copied = copy(peer.env, env, "Bank", [name])
    assert copied.position >= 3
    assert copied.positions == {name: {"Shop": 1}}


def test_others_record_while_positions_are_read(
    origin: Origin, env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A projection of another name records no events of the application."""
    more = history(uuids(9), versions=1)
    origin.record("Bank", [more.pop(0)])
    origin.track("Totals", Tracking("Bank", 1))
    read = Positions.read

    def read_slowly(positions: Positions) -> Mapping[str, int]:
        found = read(positions)
        origin.record("Bank", [more.pop(0)])
        return found

    monkeypatch.setattr(Positions, "read", read_slowly)
    copied = copy(origin.env, env, "Bank", ["Totals"])
    assert copied.position >= 1
    assert copied.positions == {"Totals": {"Bank": 1}}


def test_gap_that_is_filled_too_late(
    peer: Origin, env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was compared while it was a gap is told at the end."""
    monkeypatch.setattr(source, "SETTLING", 0.0)
    peer.record("Bank", history(uuids(3), versions=1))
    peer.execute("CREATE TABLE late AS SELECT * FROM bank_events WHERE id = 2")
    peer.delete(2)
    stop = Event()
    compared = Reached(3)

    def progress(told: CopyProgress) -> None:
        compared(told)
        if compared.is_there.is_set() and not stop.is_set():
            peer.execute("INSERT INTO bank_events SELECT * FROM late")
            stop.set()

    with pytest.raises(VerificationError, match="position 2: is missing in the target"):
        copy(peer.env, env, "Bank", follow=True, stop=stop, progress=progress)


def test_event_that_is_changed_after_it_was_compared(origin: Origin, env: Env) -> None:
    origin.record("Bank", history(uuids(3), versions=1))
    stop = Event()
    compared = Reached(3)

    def progress(told: CopyProgress) -> None:
        compared(told)
        if compared.is_there.is_set() and not stop.is_set():
            origin.change(2, "topic", "redacted")
            stop.set()

    with pytest.raises(VerificationError, match="position 2: differs in topic"):
        copy(origin.env, env, "Bank", follow=True, stop=stop, progress=progress)


@pytest.mark.parametrize("options", ["", "?mode=ro"])
def test_file_of_the_library_s_that_is_given_by_a_uri(
    sqlite: Origin, env: Env, open_factory: OpenFactory, options: str
) -> None:
    events = history(uuids(1), versions=2)
    sqlite.record("Bank", events)
    uri = f"file:{sqlite.env['SQLITE_DBNAME']}{options}"
    copy({**sqlite.env, "SQLITE_DBNAME": uri}, env, "Bank")
    assert recorded(open_factory) == notifications(events)


def test_snapshots_that_are_taken_meanwhile(
    sqlite: Origin, env: Env, open_factory: OpenFactory
) -> None:
    """While both sides are compared: nothing is missing that was to be copied."""
    ids = uuids(2)
    events = history(ids, versions=2)
    sqlite.record("Bank", events)
    sqlite.snapshot("Bank", history(ids[:1], versions=1))

    def progress(told: CopyProgress) -> None:
        if told.phase is CopyPhase.VERIFYING and left:
            sqlite.snapshot("Bank", history(left, versions=1))
            left.clear()

    left = ids[1:]
    assert copy(sqlite.env, env, "Bank", progress=progress).snapshots == 1
    assert not left
    assert copy(sqlite.env, env, "Bank").snapshots == 1
    assert recorded(open_factory) == notifications(events)
