"""Runs a style of view over the same events, one by one and in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.utils import get_topic
from sqlalchemy import Table, delete, select
from sqlalchemy.schema import CreateSchema

from behaviour.differential import tables
from behaviour.differential.outcomes import Outcome
from behaviour.differential.projection import Styled
from behaviour.differential.styles import ATTEMPTS, EVENTS, Style
from behaviour.differential.view import ComparedView, PlainView
from eventsourcing_alchemy import (
    Backoff,
    DeadLetters,
    PoisonPolicy,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.schema.tables import (
    applications,
    dead_letters,
    events,
    tracking,
)
from factories import construct_factory
from observations import Observation

PATIENCE = 10.0
"""Seconds until a runner should have processed all events."""

POLICY = PoisonPolicy(
    attempts=ATTEMPTS, backoff=Backoff(first=0.001, longest=0.001), dead_letter=True
)


class Shop(Application[UUID]):
    """Whose events are processed."""


class Comparison:
    """The events, and the tables, which are empty before each run.

    Args:
        env: says where the database is.
        others: tables that not all databases have.
    """

    def __init__(self, env: Mapping[str, str], others: list[Table]) -> None:
        self._env = env
        self._expected: dict[Style, Outcome] = {}
        self._tables = [*tables.metadata.sorted_tables, *others]
        with closing(Shop(dict(env))) as shop:
            shop.save(*(Aggregate() for _ in range(EVENTS)))
            mapper, recorder = shop.mapper, shop.recorder
            self._events = [
                (mapper.to_domain_event(each), Tracking("Shop", each.id))
                for each in recorder.select_notifications(None, EVENTS)
            ]
        self._factory = construct_factory(tables.PROJECTION, env)
        self._view = self._factory.tracking_recorder(PlainView)
        with self._view.transaction() as connection:
            for table in others:
                connection.execute(CreateSchema(str(table.schema)))
                table.create(connection)

    def close(self) -> None:
        self._factory.close()

    def expected(self, style: Style) -> Outcome:
        """What comes of events that are processed one by one, without a runner."""
        if style not in self._expected:
            self._expected[style] = self._processed_plainly(style)
        return self._expected[style]

    def _processed_plainly(self, style: Style) -> Outcome:
        projection = Styled.of(style)(self._view)
        for domain_event, tracked in self._events:
            self._process(projection, domain_event, tracked)
        return self._outcome(projection)

    def _process(
        self, projection: Styled, domain_event: Any, tracked: Tracking
    ) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                projection.process_event(domain_event, tracked)
            except Exception as error:
                if attempt == ATTEMPTS:
                    letters = DeadLetters(self._view)
                    letters.record(
                        tracked, get_topic(type(domain_event)), error, attempt
                    )
            else:
                return

    def run(self, style: Style, size: int, observation: Observation) -> Outcome:
        """Lets a runner process the events, in batches of a size at the most."""
        projection_class = Styled.of(style)
        with (
            observation.installed(),
            SQLAlchemyProjectionRunner(
                application_class=Shop,
                projection_class=projection_class,
                view_class=ComparedView,
                env=self._env,
                poison=POLICY,
                lease_duration=None,
                batch_size=size,
            ) as runner,
        ):
            error = _error_of(lambda: runner.wait(EVENTS, timeout=PATIENCE))
        return self._outcome(projection_class, error)

    def _outcome(
        self, projection: type[Styled] | Styled, error: str | None = None
    ) -> Outcome:
        with self._view.transaction() as connection:
            rows = {
                table.fullname: sorted(map(repr, connection.execute(select(table))))
                for table in (tracking, *self._tables)
            }
            letters = {
                each.notification_id: (each.error, each.attempts)
                for each in DeadLetters(self._view).select()
            }
            for table in (tracking, dead_letters, *reversed(self._tables)):
                connection.execute(delete(table))
            self._view.known.expect("Shop", 0)
            connection.execute(delete(events).where(events.c.topic == tables.LOG))
            is_log = applications.c.name == tables.LOG
            connection.execute(delete(applications).where(is_log))
        parts = {
            "error": error,
            "seen": projection.seen,
            "dead letters": letters,
            **rows,
        }
        return Outcome(parts, frozenset(projection.shared))


def _error_of(call: Callable[[], None]) -> str | None:
    try:
        call()
    except Exception as error:
        return repr(error)
    return None
