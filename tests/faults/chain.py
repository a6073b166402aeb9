"""Events, and a view of them in which each depends on all before it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, ClassVar, NamedTuple
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.dcb.api import DCBAppendCondition, DCBQuery, DCBQueryItem
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Tagged
from eventsourcing.dcb.msgpack import Decision
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, select

from eventsourcing_alchemy import (
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    upsert,
)

REPLAY_IN_MEMORY = {"REPLAY_SQLALCHEMY_URL": "sqlite:///:memory:"}

Runner = SQLAlchemyProjectionRunner[Any, "Chain"]


class StoredLink(NamedTuple):
    """Where a link is stored."""

    id: int
    originator_id: UUID


class Link(Aggregate):
    """Has one event."""


class Links(Application[UUID]):
    """Each link is one event."""

    def add(self, count: int = 1) -> dict[UUID, int]:
        """Save links together; their positions, when they are acknowledged."""
        recordings = self.save(*(Link() for _ in range(count)))
        return {
            each.domain_event.originator_id: each.notification.id for each in recordings
        }

    def stored(self) -> list[StoredLink]:
        """Everything that is stored, in order."""
        found: list[StoredLink] = []
        while page := self.recorder.select_notifications(
            found[-1].id if found else None, 1000, inclusive_of_start=False
        ):
            found += [
                StoredLink(each.id, UUID(str(each.originator_id))) for each in page
            ]
        return found


class Linked(Decision):
    """Is all that happens to a link."""

    link: str


class TaggedLinks(DCBApplication):
    """The same as events with tags, each stored if there is none of its tag."""

    name = "tagged-links"
    env: Mapping[str, str] = {
        "MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"
    }

    def add(self, count: int = 1) -> dict[UUID, int]:
        """Append links together; their positions, when they are acknowledged."""
        links = [uuid4() for _ in range(count)]
        tags = [[str(link)] for link in links]
        last = self.recorder.append(
            [
                self.mapper.to_dcb_event(Tagged([tag], Linked(link=tag)))
                for (tag,) in tags
            ],
            DCBAppendCondition(DCBQuery([DCBQueryItem(tags=each) for each in tags])),
        )
        return dict(zip(links, range(last - count + 1, last + 1), strict=True))

    def stored(self) -> list[StoredLink]:
        """Everything that is stored, in order."""
        return [
            StoredLink(each.position, UUID(each.event.tags[0]))
            for each in self.recorder.read()
        ]


Linkable = type[Links] | type[TaggedLinks]


def link_of(domain_event: Any) -> UUID:
    """Which link an event is about."""
    if isinstance(domain_event, Tagged):
        return UUID(domain_event.tags[0])
    found: UUID = domain_event.originator_id
    return found


class Chain(SQLAlchemyMaterialisedView):
    """One row a position, whose digest tells what was processed before it."""

    metadata: ClassVar[MetaData] = MetaData()
    links = Table(
        "links",
        metadata,
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("digest", String(64), nullable=False),
        Column("times", Integer, nullable=False),
        Column("process", Integer, nullable=False),
    )

    def append(self, aggregate_id: UUID, tracking: Tracking) -> None:
        last = select(self.links.c.digest).order_by(self.links.c.position.desc())
        with self.processing(tracking) as connection:
            before = connection.scalar(last.limit(1))
            row = {
                "position": tracking.notification_id,
                "digest": sha256(f"{before}{aggregate_id}".encode()).hexdigest(),
                "times": 1,
                "process": os.getpid(),
            }
            again = {"times": self.links.c.times + 1}
            connection.execute(upsert(self.links, row, set_=again))

    def all(self) -> list[tuple[int, str, int]]:
        """Position, digest, and how often it was processed."""
        rows = select(self.links).order_by(self.links.c.position)
        with self.reading() as connection:
            found = connection.execute(rows)
            return [(row.position, row.digest, row.times) for row in found]

    def processes(self) -> list[int]:
        """Which process has processed each position."""
        statement = select(self.links.c.process).order_by(self.links.c.position)
        with self.reading() as connection:
            return list(connection.scalars(statement))


class Linking(Projection[Chain]):
    """Puts every event on the chain."""

    name = "linking"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        self.view.append(link_of(domain_event), tracking)


class Replay(Linking):
    """The same, from the beginning, elsewhere."""

    name = "replay"


def running(
    env: Mapping[str, str],
    projection_class: type[Linking] = Linking,
    lease_duration: float | None = None,
    application_class: Linkable = Links,
) -> Runner:
    """A runner, which `with` ends."""
    return SQLAlchemyProjectionRunner(
        application_class=application_class,
        projection_class=projection_class,
        view_class=Chain,
        env=dict(env),
        lease_duration=lease_duration,
    )


def check(
    env: Mapping[str, str],
    acknowledged: Mapping[UUID, int],
    *,
    unanswered: int = 0,
    patience: float = 60,
    application_class: Linkable = Links,
) -> None:
    """Fail unless each acknowledged event is stored once, and each was processed once.

    Positions are contiguous, and the view is what a fresh replay of the log makes.

    Args:
        env: of the application and its projection, which is brought to the end.
        acknowledged: events, and their positions.
        unanswered: how many others there may be, of writers that were killed.
        patience: seconds, for the projection.
        application_class: of the application.
    """
    with application_class(dict(env)) as links:
        log = links.stored()
    last = len(log)
    stored = {each.originator_id: each.id for each in log}
    assert [each.id for each in log] == list(range(1, last + 1)), "not contiguous"
    lost = acknowledged.items() - stored.items()
    assert not lost, f"acknowledged, but not there, or elsewhere: {lost}"
    assert len(stored) == last, "stored twice"
    unknown = stored.keys() - acknowledged.keys()
    assert len(unknown) <= unanswered, f"nobody was told of {unknown}"
    with (
        running(env, application_class=application_class) as runner,
        running(
            {**env, **REPLAY_IN_MEMORY}, Replay, application_class=application_class
        ) as replay,
    ):
        for each in runner, replay:
            each.wait(last, timeout=patience)
        differing = set(runner.view.all()) ^ set(replay.view.all())
        assert not differing, f"not what a replay makes: {sorted(differing)[:4]}"
        assert len(runner.view.all()) == last
        assert runner.view.max_tracking_id(application_class.name) == last
