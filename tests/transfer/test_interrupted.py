"""A copy that is killed goes on where it was."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking

from backends import Capability
from eventsourcing_alchemy import CopyPhase, CopyProgress, SQLAlchemyDatastore, copy
from eventsourcing_alchemy.operations.transfer import log, target
from eventsourcing_alchemy.operations.transfer.target import Target
from factories import OpenFactory
from processes import clean
from transfer.histories import history, notifications, recorded, uuids
from transfer.origins import Env, Origin

pytestmark = pytest.mark.needs(Capability.SHARED)


def copy_until_killed(old: Env, new: Env, moment: str, number: int) -> None:
    """Copy, in a process of its own, until something is done for the nth time."""
    log.PAGE_ROWS = 2
    target.COMMIT_ROWS = 4
    calls = iter(range(1, number))
    original: Callable[..., Any] = getattr(Target, moment)

    def killing(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        if next(calls, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(Target, moment, killing)
    copy(old, new, "Bank", ["Totals"])


@pytest.mark.parametrize(
    ("moment", "number", "copied_before"),
    [
        pytest.param("last", 1, 0, id="before the first event"),
        pytest.param("_insert", 1, 0, id="in the first transaction"),
        pytest.param("_insert", 4, 4, id="in a later transaction"),
        pytest.param("append", 2, 8, id="after a commit"),
        pytest.param("events_without_predecessor", 1, 15, id="while it verifies"),
    ],
)
def test_kill(
    moment: str,
    number: int,
    copied_before: int,
    sqlite: Origin,
    env: Env,
    open_factory: OpenFactory,
) -> None:
    events = history(uuids(5))
    sqlite.record("Bank", events)
    sqlite.snapshot("Bank", events[:3])
    sqlite.track("Totals", Tracking("Bank", 15))
    process = clean.Process(
        target=copy_until_killed, args=(sqlite.env, env, moment, number)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert len(recorded(open_factory)) == copied_before

    copied = copy(sqlite.env, env, "Bank", ["Totals"])
    assert (copied.events, copied.verified) == (15 - copied_before, 18)
    assert recorded(open_factory) == notifications(events)
    assert open_factory("Totals").tracking_recorder().max_tracking_id("Bank") == 15


def test_somebody_else_records_meanwhile(
    sqlite: Origin, env: Env, open_factory: OpenFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(target, "COMMIT_ROWS", 2)
    monkeypatch.setattr(log, "PAGE_ROWS", 2)
    events = history(uuids(2))
    sqlite.record("Bank", events)
    own = StoredEvent(uuids(1)[0], 1, "topic", b"own")

    def record(progress: CopyProgress) -> None:
        if progress.position == 2:
            open_factory("Bank").application_recorder().insert_events([own])

    with pytest.raises(IntegrityError, match="was 2, and is now 3: somebody else"):
        copy(sqlite.env, env, "Bank", progress=record)
    assert recorded(open_factory) == notifications([*events[:2], own])


def test_an_answer_to_commit_is_lost(
    sqlite: Origin, env: Env, open_factory: OpenFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed by the first try is not copied by the second."""
    events = history(uuids(2))
    sqlite.record("Bank", events)
    original = target.Target._store
    tries = []

    def lost(self: Target, *args: Any) -> Any:
        tries.append(1)
        return original(self, *args)

    monkeypatch.setattr(Target, "_store", lost)
    retrying = SQLAlchemyDatastore.retrying

    def twice(store: Any, attempt: Callable[[], Any], *args: Any, **kwargs: Any) -> Any:
        result = retrying(store, attempt, *args, **kwargs)
        return retrying(store, attempt) if tries == [1] and result else result

    monkeypatch.setattr(SQLAlchemyDatastore, "retrying", twice)
    assert copy(sqlite.env, env, "Bank").events == 6
    assert tries == [1]
    assert recorded(open_factory) == notifications(events)


def test_progress(ours: Origin, env: Env, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "PAGE_ROWS", 2)
    monkeypatch.setattr(target, "COMMIT_ROWS", 2)
    ids = uuids(2)
    ours.record("Bank", history(ids))
    ours.snapshot("Bank", history(ids, versions=1))
    told: list[CopyProgress] = []
    copy(ours.env, env, "Bank", progress=told.append)
    phases = [(each.phase, each.done, each.total, each.position) for each in told]
    assert phases == [
        (CopyPhase.EVENTS, 2, 6, 2),
        (CopyPhase.EVENTS, 4, 6, 4),
        (CopyPhase.EVENTS, 6, 6, 6),
        (CopyPhase.SNAPSHOTS, 2, 2, 6),
        (CopyPhase.VERIFYING, 2, 6, 2),
        (CopyPhase.VERIFYING, 4, 6, 4),
        (CopyPhase.VERIFYING, 6, 6, 6),
    ]
    first, *_, last = told
    assert first.rate > 0
    assert first.seconds_left == pytest.approx(4 / first.rate)
    assert last.seconds_left == 0
