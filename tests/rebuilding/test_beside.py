"""Whoever uses the view during a rebuild, and wherever its events are."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.projection import ProjectionRunner
from eventsourcing.tests.projection import Thing

from backends import Capability
from behaviour.test_dcb_runners import MAPPER, Counts, Numbered
from eventcounters import EventCounters
from eventsourcing_alchemy import (
    RebuildPhase,
    RebuildProgress,
    SQLAlchemyProjectionRunner,
    rebuild,
)
from eventsourcing_alchemy.operations.rebuild.rebuilding import NEARLY
from rebuilding.in_use import InUse
from rebuilding.shop import Orders, OrdersProjection, Shop

ENDLESS = 12
"""Rounds, after which a rebuild is taken for one that does not end."""

pytestmark = [pytest.mark.needs(Capability.SHARED)]


def test_the_runner_of_the_library_goes_on(in_use: InUse) -> None:
    """It neither skips an event nor processes one twice."""
    runner: ProjectionRunner[Shop, Orders]
    ended = Event()

    def write() -> None:
        while not ended.wait(0.01):
            in_use.shop.order("Bea", lines=2)

    with ProjectionRunner(
        application_class=Shop,
        projection_class=OrdersProjection,
        view_class=Orders,
        env=in_use.env,
    ) as runner:
        writer = Thread(target=write)
        writer.start()
        try:
            for _ in range(2):
                in_use.rebuild()
        finally:
            ended.set()
            writer.join()
        runner.wait(in_use.shop.order("Ada"), timeout=30)
        assert [position for *_, position in in_use.content()] == in_use.lines()


@pytest.mark.parametrize("phase", [RebuildPhase.BUILDING, RebuildPhase.SWITCHING])
def test_wait_is_for_the_view_in_use(in_use: InUse, phase: RebuildPhase) -> None:
    waited: list[int] = []
    with in_use.running() as runner:

        def order(progress: RebuildProgress) -> None:
            if progress.phase is phase and not waited:
                position = in_use.shop.order("Bea")
                runner.wait(position, timeout=10)
                assert position in runner.view.positions()
                assert progress.position < position
                waited.append(position)

        in_use.rebuild(progress=order)
        runner.wait(waited[0], timeout=0)
    assert [position for *_, position in in_use.content()] == in_use.lines()


def test_a_runner_that_is_as_fast(in_use: InUse) -> None:
    """The rebuild ends, although the view goes on as far as it does each time."""
    rounds: list[int] = []
    with in_use.running() as runner:

        def order(progress: RebuildProgress) -> None:
            # The switch itself has the last goal, and tells of each of its batches.
            is_new = progress.position >= progress.goal and progress.goal not in rounds
            if not is_new or len(rounds) == ENDLESS:
                return
            rounds.append(progress.goal)
            position = in_use.shop.order("Bea", lines=NEARLY + 50)
            with suppress(TimeoutError):  # The last time, the runner waits for us.
                runner.wait(position, timeout=5)

        in_use.rebuild(progress=order)
        runner.wait(in_use.shop.order("Ada"), timeout=30)
    assert 1 < len(rounds) < ENDLESS
    assert [position for *_, position in in_use.content()] == in_use.lines()


def test_events_with_tags(env: dict[str, str]) -> None:
    classes: dict[str, Any] = {
        "application_class": DCBApplication,
        "projection_class": Counts,
        "view_class": EventCounters,
        "env": {**env, **MAPPER},
    }
    runner: SQLAlchemyProjectionRunner[Any, EventCounters]
    with SQLAlchemyProjectionRunner(**classes) as runner:
        numbered = Thing()
        for number in range(20):
            numbered.trigger_event(Numbered, number=number)
        view = runner.projection.view
        view.wait(runner.app.name, runner.app.repository.save(numbered), timeout=20)

        def record(progress: RebuildProgress) -> None:
            another = Thing()
            another.trigger_event(Numbered, number=progress.position)
            runner.app.repository.save(another)

        rebuild(**classes, progress=record)
        last = runner.app.recorder.read().head
        view.wait(runner.app.name, last, timeout=20)
        assert view.get_subsequent_event_counter() == last
        assert last > 21


def test_events_in_another_database(in_use: InUse, tmp_path: Path) -> None:
    """The view in use is the one in its own database; the other is left alone."""
    elsewhere = {**in_use.env, "ORDERS_SQLALCHEMY_URL": f"sqlite:///{tmp_path}/view.db"}
    here, there = in_use, InUse(elsewhere, in_use.shop)
    before = here.content()
    there.catch_up()
    with there.busy() as busy:
        there.rebuild()
    assert not busy.problems
    there.catch_up()
    assert [position for *_, position in there.content()] == there.lines()
    assert here.content() == before


def test_engine_of_others_stays_as_it_is(in_use: InUse) -> None:
    """They may be connecting at the same time, and there may be many rebuilds."""
    recorder: Any = in_use.shop.recorder
    engine = recorder.datastore.engine

    def listeners() -> list[int]:
        pool, dialect = engine.pool.dispatch, engine.dialect.dispatch
        events = pool.connect, pool.checkin, pool.reset, dialect.handle_error
        return [len(tuple(each)) for each in events]

    before = listeners()
    in_use.rebuild()
    assert listeners() == before
