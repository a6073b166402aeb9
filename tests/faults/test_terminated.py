"""A session that its server ends: work goes on, nothing lost, nothing twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import TypeVar
from uuid import UUID

import pytest
from eventsourcing.persistence import OperationalError, Tracking
from sqlalchemy import create_engine, select, text

from backends import Backend, Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import ConnectionLostError, DeadLetters, Lease, upsert
from eventsourcing_alchemy.schema.tables import leases
from factories import construct_factory
from faults.chain import Chain, Linking, Links, Replay, Runner, check, running
from faults.load import under_load
from faults.proxy import Proxy
from faults.report import recovered
from faults.sessions import Sessions
from faults.waiting import wait_until

pytestmark = pytest.mark.needs(Capability.SERVER)

T = TypeVar("T")

STORM = 10
LEASE_DURATION = 1.5


@pytest.fixture
def sessions(backend: Backend) -> Sessions:
    return Sessions(backend.url)


@pytest.fixture
def links(env: dict[str, str]) -> Iterator[Links]:
    with Links(env) as links:
        yield links


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as threads:
        yield threads


def result(kind: str, future: Future[T]) -> T:
    """What comes after the fault; how long it takes is noted."""
    start = monotonic()
    result = future.result(20)
    recovered(f"{kind} terminated", monotonic() - start)
    return result


def add_twice(links: Links) -> dict[UUID, int]:
    with links.recorder.transaction():  # type: ignore[attr-defined]
        return links.add() | links.add(2)


def test_writer_in_append(
    links: Links, env: dict[str, str], sessions: Sessions, threads: ThreadPoolExecutor
) -> None:
    """Its caller notices nothing; its events are stored once."""
    kind = "writer in append"
    acknowledged = links.add()
    with sessions.locked("es_events"):
        adding = threads.submit(links.add, 3)
        sessions.end_blocked(kind)
    check(env, acknowledged | result(kind, adding))


def test_writer_inside_transaction(
    links: Links, env: dict[str, str], sessions: Sessions, threads: ThreadPoolExecutor
) -> None:
    """Its caller is told, nothing is stored, and the caller can do it again."""
    kind = "writer inside transaction()"
    acknowledged = links.add()
    with sessions.locked("es_events"):
        adding = threads.submit(add_twice, links)
        sessions.end_blocked(kind)
        with pytest.raises(OperationalError):
            adding.result(20)
    assert len(links.stored()) == 1
    check(env, acknowledged | result(kind, threads.submit(add_twice, links)))


def test_writer_before_commit(
    links: Links, env: dict[str, str], sessions: Sessions
) -> None:
    """Its caller is told, and nothing is stored."""

    def add_and_end() -> None:
        with links.recorder.transaction():  # type: ignore[attr-defined]
            links.add()
            sessions.end("writer before COMMIT")

    with pytest.raises(OperationalError):
        add_and_end()
    assert links.stored() == []
    check(env, add_twice(links))


def test_writer_that_goes_on_with_a_statement_of_its_own(
    links: Links, env: dict[str, str], sessions: Sessions
) -> None:
    """SQLAlchemy refuses the statement; the error is the library's all the same."""

    def go_on() -> None:
        with links.recorder.transaction() as connection:  # type: ignore[attr-defined]
            links.add()
            sessions.end("writer that goes on")
            with suppress(OperationalError):
                links.add()
            connection.execute(select(1))

    with pytest.raises(ConnectionLostError, match="Try the transaction again"):
        go_on()
    assert links.stored() == []
    check(env, add_twice(links))


@pytest.mark.needs(Capability.NOTIFY)
def test_writer_that_is_idle_for_too_long(
    links: Links, env: dict[str, str], sessions: Sessions
) -> None:
    """PostgreSQL's code for it is not one of those that drivers count to losses."""

    def add_late() -> None:
        with links.recorder.transaction() as connection:  # type: ignore[attr-defined]
            limit = "SET idle_in_transaction_session_timeout = '1ms'"
            connection.execute(text(limit))
            idle = "state LIKE 'idle in transaction%'"
            wait_until(lambda: not sessions.are_there(idle), "the session has ended")
            links.add()

    with pytest.raises(OperationalError, match="idle-in-transaction timeout"):
        add_late()
    assert links.stored() == []
    check(env, add_twice(links))


def test_subscription_in_pull(
    links: Links, sessions: Sessions, threads: ThreadPoolExecutor
) -> None:
    """It gives each event, once."""
    kind = "subscription in pull"
    links.add(3)
    with links.recorder.subscribe() as subscription:
        with sessions.locked("es_events"):
            coming = threads.submit(lambda: [next(subscription).id for _ in range(3)])
            sessions.end_blocked(kind)
        assert result(kind, coming) == [1, 2, 3]
        links.add()
        assert next(subscription).id == 4


def test_idle_subscription(
    links: Links,
    env: dict[str, str],
    sessions: Sessions,
    threads: ThreadPoolExecutor,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody is told: its server is there."""
    kind = "idle subscription"
    polling = {"SQLALCHEMY_SUBSCRIBE": "poll", "SQLALCHEMY_POLL_INTERVAL": "0.5"}
    with (
        Links({**env, **polling}) as reader,
        reader.recorder.subscribe() as subscription,
    ):
        for position in range(1, 4):
            coming = threads.submit(lambda: next(subscription).id)
            sessions.end(kind)
            links.add()
            assert result(kind, coming) == position
    assert not caplog.records


@pytest.mark.needs(Capability.NOTIFY)
def test_listening_connection(
    links: Links,
    env: dict[str, str],
    sessions: Sessions,
    threads: ThreadPoolExecutor,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It listens again, and what came meanwhile is not left for the timer."""
    kind = "listening connection"
    # As if in another process, whose commits are heard of by NOTIFY only.
    elsewhere = {"SQLALCHEMY_URL": proxy.url, "SQLALCHEMY_POLL_INTERVAL": "60"}
    with (
        Links({**env, **elsewhere}) as reader,
        reader.recorder.subscribe() as subscription,
    ):
        for position in range(1, 4):
            coming = threads.submit(lambda: next(subscription).id)
            sessions.end(kind, "query LIKE 'LISTEN%'")
            links.add()
            assert result(kind, coming) == position
    assert not caplog.records, "an idle session that was ended is no outage"


@pytest.mark.parametrize("table", ["es_tracking", "links"])
def test_runner_in_transaction(
    links: Links, env: dict[str, str], sessions: Sessions, table: str
) -> None:
    """Its event is processed once: neither not at all nor twice."""
    kind = f"runner in {'tracking' if table == 'es_tracking' else 'processing'}"
    with running(env) as runner:
        acknowledged = links.add()
        runner.wait(1, timeout=10)
        with sessions.locked(table):
            acknowledged |= links.add(2)
            sessions.end_blocked(kind)
        ended = monotonic()
        runner.wait(3, timeout=20)
        recovered(f"{kind} terminated", monotonic() - ended)
    check(env, acknowledged)


def test_wait(
    links: Links, env: dict[str, str], sessions: Sessions, threads: ThreadPoolExecutor
) -> None:
    """It waits on."""
    kind = "wait()"
    with running(env) as runner:
        runner.wait(max(links.add().values()), timeout=10)
        with sessions.locked("es_tracking"):
            waiting = threads.submit(runner.wait, 2, timeout=20)
            sessions.end_blocked(kind)
        assert not waiting.done()
        links.add()
        result(kind, waiting)


def test_lease_keeper(links: Links, env: dict[str, str], sessions: Sessions) -> None:
    """The lease is renewed before it expires."""
    kind = "lease keeper"
    with running(env, lease_duration=LEASE_DURATION) as runner:
        acknowledged = links.add()
        runner.wait(1, timeout=10)
        with sessions.locked("es_leases"):
            sessions.end_blocked(kind)
        ended, before = monotonic(), expiry(runner)
        wait_until(lambda: expiry(runner) != before, "it is not renewed", patience=10)
        recovered(f"{kind} terminated", monotonic() - ended)
        # At the moment of renewal, by the database's clock, it lasted still.
        assert expiry(runner) - before < timedelta(seconds=LEASE_DURATION)
        acknowledged |= links.add()
        runner.wait(2, timeout=10)
    check(env, acknowledged)


def expiry(runner: Runner) -> datetime:
    with runner.view.reading() as connection:
        expires_at: datetime = connection.scalars(select(leases.c.expires_at)).one()
    return expires_at


def test_connection_on_its_return(
    links: Links, env: dict[str, str], proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody is told: what was done is done."""
    acknowledged = links.add()
    with Links({**env, "SQLALCHEMY_URL": proxy.url}) as others:
        proxy.when_client_sends(b"ROLLBACK", proxy.cut, times=-1)
        for _ in range(3):
            acknowledged |= others.add()
    assert not caplog.records
    check(env, acknowledged)


def test_everything_under_load(env: dict[str, str], sessions: Sessions) -> None:
    """All at once, whatever they do, again and again."""
    with under_load(env) as load:
        for _ in range(STORM):
            sessions.end("any connection under load")
            load.goes_on("any connection under load terminated")


class Night:
    """What uses a database by itself, whose idle sessions were ended meanwhile.

    Args:
        links: the application.
        env: of all.
    """

    def __init__(self, links: Links, env: dict[str, str]) -> None:
        self.links = links
        self.env = env
        self.view = self.construct_view()
        self.letters = DeadLetters(self.view)
        self.projection = Linking(self.view)
        self.lease = Lease(self.view.datastore, "linking", "Links")

    def construct_application(self) -> None:
        Links(env=self.env).close()

    def construct_view(self) -> Chain:
        factory = construct_factory("linking", self.env)
        return factory.tracking_recorder(Chain)

    def construct_runner(self) -> None:
        with running(self.env, Replay, lease_duration=5):
            pass

    def subscribe(self) -> None:
        with self.links.recorder.subscribe():
            pass

    def process(self) -> None:
        for position in 1, 2:
            self.end()
            row = {"position": position, "digest": "", "times": 1, "process": 1}
            tracking = Tracking("Links", position)
            self.view.process(tracking, upsert(self.view.links, row))

    def pass_over(self) -> None:
        self.letters.record(Tracking("Links", 3), "topic", DeliberateError(), 1)

    def discard(self) -> None:
        (letter,) = self.letters.select()
        self.letters.discard(letter)

    def retry(self) -> None:
        self.letters.record(Tracking("Links", 4), "topic", DeliberateError(), 1)
        (letter,) = self.letters.select()
        self.end()
        self.letters.retry(letter, self.links, self.projection)

    def hold_lease(self) -> None:
        assert self.lease.acquire()
        self.end()
        assert self.lease.renew()
        self.end()
        self.lease.release()

    def end(self) -> None:
        """Let no session live, of which there is one at least."""
        self.view.max_tracking_id("Links")
        self.links.recorder.max_notification_id()
        Sessions(self.env["SQLALCHEMY_URL"]).end("pooled connection")


@pytest.mark.parametrize("is_own", [False, True])
def test_pooled_connections(
    env: dict[str, str],
    topic_of: Callable[[object], str],
    caplog: pytest.LogCaptureFixture,
    is_own: bool,
) -> None:
    """Whatever reads or writes by itself tries again."""
    own = create_engine(env["SQLALCHEMY_URL"])
    if is_own:
        env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(own)
    with ExitStack() as stack:
        stack.callback(own.dispose)
        links = stack.enter_context(Links(env))
        links.add(4)
        night = Night(links, env)
        stack.callback(night.view.datastore.close)
        for use in (
            night.construct_application,
            night.construct_view,
            night.subscribe,
            night.process,
            night.pass_over,
            night.discard,
            night.retry,
            night.hold_lease,
            night.construct_runner,
        ):
            night.end()
            use()
        assert night.letters.select() == []
        assert night.view.max_tracking_id("Links") == 4
    assert not caplog.records
