"""Runners whose position somebody else takes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from sqlalchemy import Connection, delete, update

from backends import Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import (
    PoisonPolicy,
    PositionLostError,
    SQLAlchemyProjectionRunner,
    State,
)
from eventsourcing_alchemy.runners import watched_position, worker
from eventsourcing_alchemy.schema.tables import tracking
from factories import OpenFactory
from positions import Positions

pytestmark = pytest.mark.needs(Capability.SHARED)


class Noting(Projection[Positions]):
    name = "noting"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.note(tracking)


def vanish(connection: Connection) -> None:
    connection.execute(delete(tracking))


def go_back(connection: Connection) -> None:
    connection.execute(update(tracking).values(notification_id=1))


@pytest.fixture
def application(env: dict[str, str]) -> Iterator[Application[UUID]]:
    with Application[UUID](env) as application:
        yield application


@pytest.mark.parametrize("lose", [vanish, go_back])
@pytest.mark.parametrize("batch_size", [1, 500])
@pytest.mark.parametrize("began", [0, 2])
def test_a_runner_stops(
    env: dict[str, str],
    application: Application[UUID],
    lose: Callable[[Connection], None],
    batch_size: int,
    began: int,
) -> None:
    """Whether it has seen the row when it began, or has made it."""
    for _ in range(began):
        application.save(Aggregate())

    def runner() -> SQLAlchemyProjectionRunner[Application[UUID], Positions]:
        return SQLAlchemyProjectionRunner(
            application_class=Application[UUID],
            projection_class=Noting,
            view_class=Positions,
            env=env,
            batch_size=batch_size,
            poison=PoisonPolicy(attempts=3, dead_letter=True),
        )

    if began:
        with runner() as first:
            first.wait(began, timeout=10)
    with runner() as second:
        for _ in range(3 - began):
            last = application.save(Aggregate())[-1].notification.id
        second.wait(last, timeout=10)
        noted = second.view.all()
        with second.view.transaction() as connection:
            lose(connection)
        application.save(Aggregate())
        with pytest.raises(PositionLostError, match=r"position 3 of 'Application'"):
            second.run_forever(timeout=10)
        assert second.health().state is State.FAILED
        assert second.view.all() == noted
        assert second.dead_letters.select() == []


@pytest.mark.parametrize("lose", [vanish, go_back])
def test_a_runner_that_has_nothing_to_do_stops(
    env: dict[str, str],
    application: Application[UUID],
    lose: Callable[[Connection], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It need not wait for the next event to notice."""
    monkeypatch.setattr(watched_position, "LOOK_INTERVAL", 0.05)
    monkeypatch.setattr(worker, "LOOK_INTERVAL", 0.05)
    for _ in range(3):
        last = application.save(Aggregate())[-1].notification.id
    with SQLAlchemyProjectionRunner(
        application_class=Application[UUID],
        projection_class=Noting,
        view_class=Positions,
        env=env,
    ) as runner:
        runner.wait(last, timeout=10)
        with runner.view.transaction() as connection:
            lose(connection)
        with pytest.raises(PositionLostError, match=r"position 3 of 'Application'"):
            runner.run_forever(timeout=10)
        assert runner.health().state is State.FAILED


def test_what_was_rolled_back_is_not_missed(open_factory: OpenFactory) -> None:
    view = open_factory("noting").tracking_recorder(Positions)
    view.note(Tracking("Application", 1))
    with suppress(DeliberateError), view.transaction():
        view.note(Tracking("Application", 2))
        raise DeliberateError
    with view.transaction() as connection:
        savepoint = connection.begin_nested()
        view.note(Tracking("Application", 2))
        savepoint.rollback()
    with view.datastore.engine.begin() as connection:
        with view.transaction(connection):
            view.note(Tracking("Application", 2))
        connection.rollback()
    view.note(Tracking("Application", 2))
    assert view.all() == {1: 1, 2: 1}
