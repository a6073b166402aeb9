"""Sessions of the calling code's, in which every operation takes part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import AggregateNotFoundError, Application
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import InterfaceError, StoredEvent, Tracking
from eventsourcing.projection import Projection
from eventsourcing.system import ProcessApplication, SingleThreadedRunner, System
from sqlalchemy import Engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from backends import Capability
from behaviour.workers import DeliberateError, ids, new_events
from eventcounters import EventCounters
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyFactory,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.errors import ConfigurationError
from factories import OpenFactory

VARIABLE = "SQLALCHEMY_SCOPED_SESSION_TOPIC"

TopicOf = Callable[[object], str]


class Shop(Application[UUID]):
    name = "Application"


@pytest.fixture
def session(engine: Engine) -> Iterator[scoped_session[Session]]:
    session = scoped_session(sessionmaker(engine))
    yield session
    session.remove()


def adapter(session: scoped_session[Session]) -> object:
    class Adapter:
        def __getattribute__(self, name: str) -> Any:
            return getattr(session, name)

    return Adapter


def adapter_of_a_session(session: scoped_session[Session]) -> object:
    class Adapter:
        def __getattr__(self, name: str) -> Any:
            return getattr(session(), name)

    return Adapter()


@pytest.fixture(
    params=[
        adapter,
        adapter_of_a_session,
        lambda session: session,
        lambda session: lambda: session,
    ],
    ids=["adapter", "adapter of a session", "itself", "function"],
)
def any_topic(
    request: pytest.FixtureRequest, session: scoped_session[Session], topic_of: TopicOf
) -> str:
    return topic_of(request.param(session))


@pytest.fixture
def topic(session: scoped_session[Session], topic_of: TopicOf) -> str:
    return topic_of(adapter(session))


@pytest.fixture
def factory(open_factory: OpenFactory, topic: str) -> SQLAlchemyFactory:
    return open_factory(**{VARIABLE: topic})


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


def test_an_application_as_in_a_request(
    any_topic: str, env: dict[str, str], session: scoped_session[Session]
) -> None:
    """As the peer's manual shows it."""
    with Shop(env={**env, VARIABLE: any_topic}) as shop:
        kept, lost = Aggregate(), Aggregate()
        shop.save(kept)
        assert kept.id in shop.repository
        session.commit()
        session.remove()
        shop.save(lost)
        assert lost.id in shop.repository
        session.remove()  # Nobody has committed.
        assert kept.id in shop.repository
        with pytest.raises(AggregateNotFoundError):
            shop.repository.get(lost.id)
        session.remove()


def test_every_operation(
    factory: SQLAlchemyFactory, session: scoped_session[Session]
) -> None:
    recorder, snapshots = factory.process_recorder(), factory.aggregate_recorder()
    view = factory.tracking_recorder(EventCounters)
    events = new_events(2)
    event = StoredEvent(uuid4(), 1, "topic", b"")
    for is_committed in (False, True):
        assert recorder.insert_events(events) == [1, 2]
        assert recorder.insert_events([event], tracking=Tracking("up", 5)) == [3]
        snapshots.insert_events([event])
        view.incr_created_event_counter(Tracking("other", 3))
        recorder.insert_tracking(Tracking("third", 4))
        for _ in range(1 + is_committed):
            assert recorder.max_notification_id() == 3
            assert ids(recorder) == [1, 2, 3]
            assert recorder.select_events(event.originator_id) == [event]
            assert snapshots.select_events(event.originator_id) == [event]
            assert recorder.max_tracking_id("up") == 5
            assert recorder.has_tracking_id("third", 4)
            assert view.max_tracking_id("other") == 3
            assert view.get_created_event_counter() == 1
            if is_committed:
                session.commit()
        session.remove()
        assert recorder.max_notification_id() == (3 if is_committed else None)
        assert len(snapshots.select_events(event.originator_id)) == is_committed
        assert view.get_created_event_counter() == is_committed
        session.remove()


def test_events_with_tags(
    factory: SQLAlchemyFactory, session: scoped_session[Session]
) -> None:
    recorder = factory.dcb_recorder()
    assert not session().in_transaction()
    event = DCBEvent("type", b"", ["tag"])
    for is_committed in (False, True):
        assert recorder.append([event]) == 1
        assert recorder.head() == 1
        assert [each.position for each in recorder.read()] == [1]
        if is_committed:
            session.commit()
        session.remove()
        assert recorder.head() == (1 if is_committed else None)
        session.remove()


def test_closed(
    factory: SQLAlchemyFactory, recorder: SQLAlchemyApplicationRecorder
) -> None:
    factory.close()
    for use in (
        recorder.max_notification_id,
        lambda: recorder.insert_events(new_events()),
        lambda: recorder.transaction().__enter__(),
        lambda: recorder.reading().__enter__(),
    ):
        with pytest.raises(InterfaceError, match="is closed"):
            use()


@pytest.mark.needs(Capability.SHARED, Capability.MVCC)
def test_others_see_what_is_committed(
    recorder: SQLAlchemyApplicationRecorder,
    session: scoped_session[Session],
    open_factory: OpenFactory,
) -> None:
    other = open_factory().application_recorder()
    recorder.insert_events(new_events())
    assert ids(other) == []
    session.commit()
    assert ids(other) == [1]


def test_transaction_is_a_savepoint(
    recorder: SQLAlchemyApplicationRecorder, session: scoped_session[Session]
) -> None:
    with recorder.transaction() as connection:
        assert connection is session.connection()
        recorder.insert_events(new_events())
    with suppress(DeliberateError), recorder.transaction():
        recorder.insert_events(new_events(2))
        raise DeliberateError
    with recorder.session() as inner:
        assert inner.connection().in_transaction()
        recorder.insert_events(new_events())
    assert ids(recorder) == [1, 2]
    session.rollback()
    assert ids(recorder) == []


def test_construction_leaves_the_session_alone(
    recorder: SQLAlchemyApplicationRecorder, session: scoped_session[Session]
) -> None:
    assert not session().in_transaction()
    session.rollback()
    assert recorder.insert_events(new_events()) == [1]


@pytest.mark.needs(Capability.SHARED, Capability.MVCC)
def test_subscriptions_wait_for_what_is_committed(
    recorder: SQLAlchemyApplicationRecorder, session: scoped_session[Session]
) -> None:
    recorder.insert_events(new_events())
    session.commit()
    with recorder.subscribe() as subscription:
        assert next(subscription).id == 1
        assert not session().in_transaction()
        recorder.insert_events(new_events())
        assert subscription.look(0.01) is None
        assert ids(recorder) == [1, 2]
        session.commit()
        assert next(subscription).id == 2


class Counting(Projection[EventCounters]):
    name = "counting"

    def process_event(self, _: Any, tracking: Tracking) -> None:
        self.view.incr_created_event_counter(tracking)


@pytest.mark.needs(Capability.SHARED, Capability.MVCC)
def test_runners_commit_by_themselves(
    topic: str,
    env: dict[str, str],
    session: scoped_session[Session],
    open_factory: OpenFactory,
) -> None:
    with SQLAlchemyProjectionRunner(
        application_class=Shop,
        projection_class=Counting,
        view_class=EventCounters,
        env={**env, VARIABLE: topic},
    ) as runner:
        assert not session().in_transaction()
        for number in range(1, 4):
            runner.app.save(Aggregate())
            session.commit()
            runner.wait(number, timeout=10)
        assert runner.health().lag == 0
        assert not session().in_transaction()
    view = open_factory("counting").tracking_recorder(EventCounters)
    assert view.get_created_event_counter() == 3


class Copying(ProcessApplication[UUID]):
    copies: ClassVar[int] = 0

    def policy(self, domain_event: Any, processing_event: Any) -> None:
        if isinstance(domain_event, Aggregate.Created):
            processing_event.collect_events(Aggregate())


def test_a_system_does_not_lag(
    topic: str, env: dict[str, str], session: scoped_session[Session]
) -> None:
    """Its followers process what is not committed yet, in the same session."""
    variables = {**env, VARIABLE: topic}
    system = System(pipes=[[Shop, Copying]])
    with ExitStack() as stack:
        runner: SingleThreadedRunner[UUID] = SingleThreadedRunner(system, variables)
        runner.start()
        stack.callback(runner.stop)
        shop, copying = runner.get(Shop), runner.get(Copying)
        for is_committed in (False, True):
            shop.save(Aggregate())
            assert copying.recorder.max_notification_id() == 1
            if is_committed:
                session.commit()
            session.remove()
            assert copying.recorder.max_notification_id() == (is_committed or None)
            session.remove()


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (Session, "gives one Session, which threads cannot share"),
        (scoped_session(sessionmaker()), "a session that finds no engine here"),
        (dict, "a session that finds no engine here"),
    ],
    ids=["session", "unbound", "nothing"],
)
def test_wrong_topics(found: object, problem: str, topic_of: TopicOf) -> None:
    topic = topic_of(found)
    with pytest.raises(ConfigurationError, match=problem):
        SQLAlchemyFactory({VARIABLE: topic})


def test_a_topic_that_leads_nowhere() -> None:
    with pytest.raises(ConfigurationError, match=f"{VARIABLE}: .*no.such"):
        SQLAlchemyFactory({VARIABLE: "no.such:Thing"})
