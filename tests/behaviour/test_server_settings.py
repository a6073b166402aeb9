"""Settings of the server, or of a role, that change what statements mean or return."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.projection import Projection
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, create_engine, select

from backends import Backend, Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import (
    PoisonPolicy,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    upsert,
)
from eventsourcing_alchemy.dialects.urls import normalise_url
from factories import OpenFactory
from observations import Observation

pytestmark = pytest.mark.needs(Capability.SERVER)

MINUTE = timedelta(minutes=1)
AT = datetime(2026, 2, 1, 12, 30)


class Shop(Application[UUID]):
    """Whose events are projected."""


class Times(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    times = Table(
        "times",
        metadata,
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("at", DateTime),
    )

    def all(self) -> list[Any]:
        table = self.times
        with self.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.position))
            return [tuple(row) for row in rows]


class Timing(Projection[Times]):
    name = "timing"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        position = tracking.notification_id
        if position == 2:
            raise DeliberateError
        row = {"position": position, "at": AT}
        self.view.process(tracking, upsert(self.view.times, row))


@pytest.fixture(
    params=[Observation.NOBODY, Observation.LISTENER_OF_CURSORS],
    ids=lambda observation: observation.name.lower(),
    autouse=True,
)
def _observed(request: pytest.FixtureRequest) -> Any:
    with request.param.installed():
        yield


@pytest.fixture(params=["url", "engine"])
def env(
    request: pytest.FixtureRequest,
    env: dict[str, str],
    backend: Backend,
    topic_of: Callable[[object], str],
) -> Any:
    """Of sessions with other settings, by a URL or by an engine of the user's."""
    url = normalise_url(backend.url).update_query_dict(backend.other_settings)
    if request.param == "url":
        yield {**env, "SQLALCHEMY_URL": url.render_as_string(hide_password=False)}
        return
    engine = create_engine(url)
    yield {**env, "SQLALCHEMY_ENGINE_TOPIC": topic_of(engine)}
    engine.dispose()


def test_events_are_what_they_were(open_factory: OpenFactory) -> None:
    recorder = open_factory().application_recorder()
    states = (bytes(range(256)), b"'\"\\%s:x{}", b"")
    stored = [
        StoredEvent(uuid4(), 1, topic, state)
        for topic, state in zip(("tópico", "a\\b'c\"d%", ""), states, strict=True)
    ]
    assert recorder.insert_events(stored[:1]) == [1]
    with recorder.transaction():
        assert recorder.insert_events(stored[1:]) == [2, 3]
    for each in stored:
        assert recorder.select_events(each.originator_id) == [each]
    found = recorder.select_notifications(None, 9, topics=("a\\b'c\"d%", "tópico"))
    assert [each.id for each in found] == [1, 2]
    age = recorder.reader.age(1)
    assert age is not None
    assert abs(age) < 60


def test_runner_with_a_lease_and_dead_letters(env: dict[str, str]) -> None:
    with Shop(env) as shop:
        shop.save(*(Aggregate() for _ in range(5)))
    with SQLAlchemyProjectionRunner(
        application_class=Shop,
        projection_class=Timing,
        view_class=Times,
        env=env,
        poison=PoisonPolicy(attempts=1, dead_letter=True),
    ) as runner:
        runner.wait(5, timeout=10)
        assert runner.view.all() == [(position, AT) for position in (1, 3, 4, 5)]
        [letter] = runner.dead_letters.select()
        assert abs(letter.recorded_at - datetime.now(UTC)) < MINUTE
        assert runner.health().lag_seconds == 0
