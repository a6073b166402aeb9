"""Subscriptions go on by themselves: nothing lost, nothing twice, in order."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from time import monotonic

import pytest
from eventsourcing.persistence import OperationalError, PersistenceError
from sqlalchemy import create_engine, make_url, text

from backends import Backend, Capability
from behaviour.workers import new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.dialects.postgresql import listener
from eventsourcing_alchemy.subscriptions.subscription import SQLAlchemySubscription
from factories import OpenFactory
from faults.proxy import Proxy
from faults.report import recovered
from faults.waiting import wait_until

pytestmark = pytest.mark.needs(Capability.SERVER)

Faulty = Callable[[Proxy], object]

BREAKS = [Proxy.cut, Proxy.reset, Proxy.refuse, Proxy.stall]
AWAY = [Proxy.refuse, Proxy.stall, Proxy.black_hole]
PULL = b"notification_id > "
PROMPTLY = 0.3
"""Seconds; an answer is waited for longer."""

QUICK = {"SQLALCHEMY_ANSWER_TIMEOUT": "0.5", "SQLALCHEMY_LOCK_TIMEOUT": "1"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEARTBEAT", 0.2)
    monkeypatch.setattr(listener, "ANSWER_TIMEOUT", 0.5)


@pytest.fixture
def writer(open_factory: OpenFactory) -> SQLAlchemyApplicationRecorder:
    """Records events past the proxy."""
    return open_factory().application_recorder()


@pytest.fixture
def reader(
    writer: SQLAlchemyApplicationRecorder,  # noqa: ARG001
    open_factory: OpenFactory,
    proxy: Proxy,
) -> SQLAlchemyApplicationRecorder:
    """Follows them through the proxy."""
    return open_factory(SQLALCHEMY_URL=proxy.url, **QUICK).application_recorder()


def take(subscription: SQLAlchemySubscription, count: int) -> list[int]:
    return [next(subscription).id for _ in range(count)]


@contextmanager
def following(
    subscription: SQLAlchemySubscription, proxy: Proxy
) -> Iterator[ThreadPoolExecutor]:
    """For iterating in another thread, which ends with the block."""
    with ThreadPoolExecutor(1) as threads:
        try:
            yield threads
        finally:
            proxy.heal()
            subscription.stop()


@pytest.mark.parametrize("fault", BREAKS)
def test_goes_on_after_faults(
    writer: SQLAlchemyApplicationRecorder,
    reader: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    fault: Faulty,
) -> None:
    with reader.subscribe() as subscription, following(subscription, proxy) as threads:
        for position in range(1, 4):
            coming = threads.submit(take, subscription, 1)
            fault(proxy)
            writer.insert_events(new_events())
            proxy.heal()
            healed = monotonic()
            assert coming.result(20) == [position]
            recovered(f"{fault.__name__} of a subscription", monotonic() - healed)


def test_in_a_transaction_whose_connection_is_lost(
    writer: SQLAlchemyApplicationRecorder,
    reader: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
) -> None:
    """It has a connection of its own, and gets another one."""
    writer.insert_events(new_events())
    found: list[int] = []
    with reader.subscribe() as subscription:
        # What has not begun in the database has nothing to lose.
        with suppress(OperationalError), reader.transaction():
            proxy.cut()
            found += take(subscription, 1)
        assert found == [1]


@pytest.mark.parametrize("fault", BREAKS)
def test_goes_on_after_a_fault_in_a_pull(
    writer: SQLAlchemyApplicationRecorder,
    reader: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    fault: Faulty,
) -> None:
    writer.insert_events(new_events(3))
    with reader.subscribe() as subscription, following(subscription, proxy) as threads:
        for trigger in proxy.when_client_sends, proxy.after_server_answers:
            broken = trigger(PULL, lambda: fault(proxy))
            coming = threads.submit(take, subscription, 3)
            assert broken.fired.wait(10)
            proxy.heal()
            healed = monotonic()
            positions = coming.result(20)
            recovered(f"{fault.__name__} in a pull", monotonic() - healed)
            last = writer.insert_events(new_events(3))
            assert last is not None
            assert positions == [each - 3 for each in last]


def test_silence_is_noticed(
    writer: SQLAlchemyApplicationRecorder,
    reader: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without it, TCP would wait for ever: the proxy is there, and says nothing."""
    with reader.subscribe() as subscription, following(subscription, proxy) as threads:
        coming = threads.submit(take, subscription, 1)
        proxy.stall()
        wait_until(lambda: "is unavailable" in caplog.text, "nobody noticed")
        proxy.heal()
        writer.insert_events(new_events())
        assert coming.result(20) == [1]


def test_an_outage_is_told_once(
    writer: SQLAlchemyApplicationRecorder,
    reader: SQLAlchemyApplicationRecorder,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "eventsourcing_alchemy")
    with (
        reader.subscribe() as one,
        reader.subscribe() as two,
        following(one, proxy) as some,
        following(two, proxy) as others,
    ):
        coming = [some.submit(take, one, 1), others.submit(take, two, 1)]
        proxy.stall()  # No answer reaches one of them after the other was cut off.
        proxy.refuse()
        wait_until(lambda: reader.datastore.outage.is_on, "nobody noticed")
        writer.insert_events(new_events())
        proxy.heal()
        assert [each.result(20) for each in coming] == [[1], [1]]
    told = [
        (each.levelname, re.split(";| after ", each.message)[0])
        for each in caplog.records
        if each.name == "eventsourcing_alchemy"
    ]
    assert told == [
        ("WARNING", "The database is unavailable"),
        ("INFO", "The database is available again"),
    ]


@pytest.mark.parametrize("fault", AWAY)
def test_stops_while_the_database_is_away(
    reader: SQLAlchemyApplicationRecorder, proxy: Proxy, fault: Faulty
) -> None:
    with reader.subscribe() as subscription, following(subscription, proxy) as threads:
        over = threads.submit(list, subscription)
        fault(proxy)
        wait_until(lambda: reader.datastore.outage.is_on, "nobody noticed")
        stopped = monotonic()
        subscription.stop()
        assert over.result(5) == []
        assert monotonic() - stopped < PROMPTLY


@pytest.mark.parametrize("fault", [Proxy.stall, Proxy.black_hole])
@pytest.mark.parametrize("connection", ["pooled", "tested", "new"])
def test_stops_in_a_pull_that_gets_no_answer(
    open_factory: OpenFactory, proxy: Proxy, fault: Faulty, connection: str
) -> None:
    """In one on a connection of the pool, tested or not, or on a new one."""
    factory = open_factory(
        SQLALCHEMY_URL=proxy.url,
        SQLALCHEMY_POLL_INTERVAL="0.05",
        SQLALCHEMY_POOL_PRE_PING=str(connection == "tested"),
    )
    reader = factory.application_recorder()
    with reader.subscribe() as subscription, following(subscription, proxy) as threads:
        over = threads.submit(list, subscription)
        fault(proxy)
        if connection == "new":
            factory.datastore.engine.dispose()
        with pytest.raises(TimeoutError):
            over.result(0.4)
        stopped = monotonic()
        subscription.stop()
        assert over.result(5) == []
        assert monotonic() - stopped < PROMPTLY


@pytest.mark.needs(Capability.NOTIFY)
def test_a_session_that_is_found_ended_is_no_outage(
    open_factory: OpenFactory,
    backend: Backend,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the heartbeat: something between has forgotten it, and tells only now."""
    monkeypatch.setattr(listener, "HEARTBEAT", 0.05)
    factory = open_factory(
        SQLALCHEMY_URL=backend.url,
        SQLALCHEMY_LISTEN_URL=proxy.url,
        SQLALCHEMY_POLL_INTERVAL="60",
    )
    reader = factory.application_recorder()
    with reader.subscribe() as subscription:
        broken = proxy.when_client_sends(b"LISTEN", proxy.reset)
        assert broken.fired.wait(10)
        ear = subscription._listener
        assert ear
        wait_until(lambda: ear.hears, "it never listens")
    assert not caplog.records


@pytest.mark.needs(Capability.NOTIFY)
@pytest.mark.parametrize("fault", [Proxy.refuse, Proxy.stall])
def test_listens_again(
    writer: SQLAlchemyApplicationRecorder,
    open_factory: OpenFactory,
    backend: Backend,
    proxy: Proxy,
    fault: Faulty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Events of the time between arrive at once, without a look by the timer."""
    caplog.set_level(logging.INFO, "eventsourcing_alchemy")
    factory = open_factory(
        SQLALCHEMY_URL=backend.url,
        SQLALCHEMY_LISTEN_URL=proxy.url,
        SQLALCHEMY_POLL_INTERVAL="60",
        SQLALCHEMY_LOCK_TIMEOUT="2",
    )
    reader = factory.application_recorder()
    with reader.subscribe() as subscription, following(subscription, proxy) as threads:
        coming = threads.submit(take, subscription, 2)
        fault(proxy)
        writer.insert_events(new_events())
        wait_until(lambda: "is unavailable" in caplog.text, "nobody noticed")
        proxy.heal()
        wait_until(lambda: "is available again" in caplog.text, "nobody listens")
        writer.insert_events(new_events())
        assert coming.result(20) == [1, 2]


@pytest.mark.needs(Capability.NOTIFY)
@pytest.mark.parametrize("fault", [Proxy.cut, Proxy.reset, Proxy.stall])
def test_listens_later_where_it_cannot_at_first(
    writer: SQLAlchemyApplicationRecorder,
    open_factory: OpenFactory,
    backend: Backend,
    proxy: Proxy,
    fault: Faulty,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Until then it polls."""
    factory = open_factory(SQLALCHEMY_URL=backend.url, SQLALCHEMY_LISTEN_URL=proxy.url)
    reader = factory.application_recorder()
    proxy.when_client_sends(b"LISTEN", lambda: fault(proxy))
    with reader.subscribe() as subscription:
        assert "polling instead" in caplog.text
        writer.insert_events(new_events())
        assert take(subscription, 1) == [1]
        proxy.heal()
        ear = subscription._listener
        assert ear
        wait_until(lambda: ear.hears, "it never listens")


@pytest.mark.needs(Capability.NOTIFY)
def test_polls_where_notifications_do_not_arrive(
    open_factory: OpenFactory, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    """Behind a pooler, for instance; here, it listens to another database."""
    elsewhere = make_url(backend.url).set(database="postgres")
    variables = {
        "SQLALCHEMY_LISTEN_URL": elsewhere.render_as_string(hide_password=False)
    }
    reader = open_factory(**variables).application_recorder()
    with reader.subscribe() as subscription:
        assert subscription._listener is None
        reader.insert_events(new_events())
        assert take(subscription, 1) == [1]
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert "polling instead" in warning.message
    assert "SQLALCHEMY_LISTEN_URL" in warning.message
    insisting = open_factory(SQLALCHEMY_SUBSCRIBE="notify", **variables)
    with pytest.raises(OperationalError, match="do not arrive"):
        insisting.application_recorder().subscribe()


def test_a_missing_table_is_an_error_at_once(
    reader: SQLAlchemyApplicationRecorder, backend: Backend
) -> None:
    with reader.subscribe() as subscription:
        engine = create_engine(backend.url)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE es_events"))
        engine.dispose()
        with pytest.raises(PersistenceError, match="es_events"):
            next(subscription)


def test_to_be_refused_is_an_error_at_once(
    writer: SQLAlchemyApplicationRecorder,  # noqa: ARG001
    open_factory: OpenFactory,
    proxy: Proxy,
) -> None:
    """A password that was changed, a role that is gone."""
    nobody = make_url(proxy.url).set(username="es_nobody_of_this_name")
    factory = open_factory(SQLALCHEMY_URL=proxy.url, **QUICK)
    reader = factory.application_recorder()
    with reader.subscribe() as subscription:
        engine = factory.datastore.engine
        arguments, parameters = engine.dialect.create_connect_args(nobody)

        def refused(*_: object) -> object:
            return engine.dialect.connect(*arguments, **parameters)

        engine.pool._creator = refused  # type: ignore[assignment]
        proxy.cut()
        with pytest.raises(PersistenceError, match="es_nobody_of_this_name"):
            next(subscription)
