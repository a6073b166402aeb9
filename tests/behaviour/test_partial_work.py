"""Events of which a part was committed, or rolled back, before an error."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    Tracking,
)
from eventsourcing.projection import Projection
from sqlalchemy import insert, text
from sqlalchemy.orm import Session

from backends import Capability
from eventsourcing_alchemy import (
    Backoff,
    PoisonPolicy,
    SQLAlchemyProjectionRunner,
    errors,
)
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from positions import Positions

pytestmark = pytest.mark.needs(Capability.SHARED)

QUICK = Backoff(first=0.001, longest=0.001)


class Parcels(Application[UUID]):
    def send(self, count: int) -> int:
        return self.save(*[Aggregate() for _ in range(count)])[-1].notification.id


def taken(view: Positions) -> None:
    with view.transaction() as connection:
        for _ in range(2):
            connection.execute(insert(view.positions).values(position=0, times=0))


def gone(_: Positions) -> None:
    raise errors.CannotConnectError("gone")


def in_savepoint(view: Positions, tracking: Tracking, error: Exception | None) -> None:
    with (
        view.transaction() as connection,
        suppress(RuntimeError, PersistenceError),
        connection.begin_nested(),
    ):
        view.note(tracking)
        if error is not None:
            raise error
    if error is not None:
        raise error


def in_plain_savepoint(
    view: Positions, tracking: Tracking, error: Exception | None
) -> None:
    with view.transaction() as connection:
        connection.execute(text("-- Of the event:\n SAVEPOINT part"))
        view.note(tracking)
        if error is not None:
            connection.execute(text("/* of it */ ROLLBACK TO SAVEPOINT part"))
    if error is not None:
        raise error


def overtaken(view: Positions, tracking: Tracking, error: Exception | None) -> None:
    """By another copy, as soon as the row of the position is free."""
    try:
        in_savepoint(view, tracking, error)
    except RuntimeError:
        with closing(SQLAlchemyDatastore(view.datastore.settings)) as datastore:
            Positions(datastore, view.name).note(tracking)
        raise


def in_session(view: Positions, tracking: Tracking, error: Exception | None) -> None:
    with Session(view.datastore.engine) as session, session.begin():
        with view.transaction(session):
            view.note(tracking)
        if error is not None:
            raise error


class UndoesAll(Projection[Positions]):
    """What it has tracked is rolled back where it fails."""

    name = "undoes_all"
    failures: ClassVar[list[Exception]]
    form: ClassVar[Callable[[Positions, Tracking, Exception | None], None]]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        fails = tracking.notification_id == 3 and self.failures
        error = self.failures.pop() if fails else None
        type(self).form(self.view, tracking, error)


class InTwoTransactions(Projection[Positions]):
    """On one connection: the position is committed, then something else fails."""

    name = "in_two_transactions"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        with self.view.datastore.engine.connect() as connection:
            with connection.begin(), self.view.transaction(connection):
                self.view.note(tracking)
            with connection.begin():
                if tracking.notification_id == 3:
                    raise errors.CannotConnectError("gone")


class InTwoParts(Projection[Positions]):
    name = "in_two_parts"
    fails_at: ClassVar[int]
    second_part: ClassVar[Callable[[Positions], None]]

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.note(tracking)
        if tracking.notification_id == self.fails_at:
            type(self).second_part(self.view)


class InTwoViews(InTwoParts):
    """Two objects of one name have one position."""

    name = "in_two_views"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        if tracking.notification_id % 2:
            Positions(self.view.datastore, self.view.name).note(tracking)
            if tracking.notification_id == self.fails_at:
                type(self).second_part(self.view)
        else:
            super().process_event(domain_event, tracking)


def run(
    env: dict[str, str],
    projection_class: type[Projection[Positions]] = InTwoParts,
    **arguments: Any,
) -> SQLAlchemyProjectionRunner[Parcels, Positions]:
    return SQLAlchemyProjectionRunner(
        application_class=Parcels,
        projection_class=projection_class,
        view_class=Positions,
        env=env,
        **arguments,
    )


@pytest.fixture(params=[taken, gone])
def second_part(request: pytest.FixtureRequest) -> None:
    InTwoParts.second_part = request.param


@pytest.mark.usefixtures("second_part")
@pytest.mark.parametrize("projection_class", [InTwoParts, InTwoViews])
@pytest.mark.parametrize("batch_size", [1, 500])
def test_is_a_failure_not_the_work_of_another_copy(
    env: dict[str, str], batch_size: int, projection_class: type[InTwoParts]
) -> None:
    InTwoParts.fails_at = 3
    with Parcels(env) as parcels:
        last = parcels.send(5)
    runner = run(env, projection_class, batch_size=batch_size)
    with pytest.raises((IntegrityError, errors.CannotConnectError)), runner:
        runner.wait(last, timeout=10)
    assert runner.view.all() == {1: 1, 2: 1, 3: 1}
    with run(env, projection_class, batch_size=batch_size) as runner:
        runner.wait(last, timeout=10)
        assert runner.view.all() == dict.fromkeys(range(1, 6), 1)


@pytest.mark.usefixtures("second_part")
@pytest.mark.parametrize("projection_class", [InTwoParts, InTwoViews])
def test_becomes_a_dead_letter_that_can_be_retried(
    env: dict[str, str], projection_class: type[InTwoParts]
) -> None:
    InTwoParts.fails_at = 3
    with Parcels(env) as parcels:
        last = parcels.send(5)
    policy = PoisonPolicy(attempts=3, backoff=QUICK, dead_letter=True)
    with run(env, projection_class, poison=policy) as runner:
        runner.wait(last, timeout=10)
        assert runner.view.all() == dict.fromkeys(range(1, 6), 1)
        (letter,) = runner.dead_letters.select()
        assert (letter.notification_id, letter.attempts) == (3, 1)
        assert "already processed" not in letter.error
        InTwoParts.fails_at = 0
        runner.dead_letters.retry(letter, runner.app, runner.projection)
        assert runner.dead_letters.select() == []


@pytest.mark.parametrize(
    ("form", "batch_size"),
    [
        (in_savepoint, 1),
        (in_savepoint, 500),
        (in_plain_savepoint, 1),
        (in_plain_savepoint, 500),
        (in_session, 1),
    ],
)
@pytest.mark.parametrize("error", [RuntimeError, errors.CannotConnectError])
def test_what_was_rolled_back_is_tried_again(
    env: dict[str, str], form: Any, error: type[Exception], batch_size: int
) -> None:
    UndoesAll.form, UndoesAll.failures = form, [error("once"), error("twice")]
    policy = PoisonPolicy(attempts=5, backoff=QUICK)
    with Parcels(env) as parcels:
        last = parcels.send(5)
    with run(env, UndoesAll, poison=policy, batch_size=batch_size) as runner:
        runner.wait(last, timeout=10)
        assert runner.view.all() == dict.fromkeys(range(1, 6), 1)
    assert UndoesAll.failures == []


def test_dead_letter_of_what_was_rolled_back(env: dict[str, str]) -> None:
    """It is recorded with the position, so it takes effect once."""
    UndoesAll.form, UndoesAll.failures = in_savepoint, [RuntimeError("no")] * 3
    policy = PoisonPolicy(attempts=3, backoff=QUICK, dead_letter=True)
    with Parcels(env) as parcels:
        last = parcels.send(3)
    with run(env, UndoesAll, poison=policy, batch_size=1) as runner:
        runner.wait(last, timeout=10)
    with run(env, UndoesAll) as runner:
        runner.wait(runner.app.send(1), timeout=10)
        (letter,) = runner.dead_letters.select()
        assert (letter.notification_id, letter.attempts) == (3, 3)
        assert runner.view.all() == dict.fromkeys([1, 2, 4], 1)
        runner.dead_letters.retry(letter, runner.app, runner.projection)
        assert runner.view.all() == dict.fromkeys(range(1, 5), 1)


def test_another_copy_may_process_what_was_rolled_back(env: dict[str, str]) -> None:
    UndoesAll.form, UndoesAll.failures = overtaken, [RuntimeError("once")]
    policy = PoisonPolicy(attempts=2, backoff=QUICK, dead_letter=True)
    with run(env, UndoesAll, poison=policy, batch_size=1) as runner:
        runner.wait(runner.app.send(5), timeout=10)
        assert runner.dead_letters.select() == []
        assert runner.view.all() == dict.fromkeys(range(1, 6), 1)


def test_later_rollback_on_the_same_connection_is_another_one(
    env: dict[str, str],
) -> None:
    policy = PoisonPolicy(attempts=3, backoff=QUICK, dead_letter=True)
    with run(env, InTwoTransactions, poison=policy, batch_size=1) as runner:
        runner.wait(runner.app.send(5), timeout=10)
        (letter,) = runner.dead_letters.select()
        assert (letter.notification_id, letter.attempts) == (3, 1)
        assert runner.view.all() == dict.fromkeys(range(1, 6), 1)
