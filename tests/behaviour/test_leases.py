"""One copy of a projection has the lease, on every database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier, Event
from time import monotonic
from typing import Any

import pytest
from eventsourcing.persistence import (
    DataError,
    InterfaceError,
    PersistenceError,
    ProgrammingError,
)
from sqlalchemy import event, text

from backends import Backend, Capability
from behaviour.copies import acquire, acquire_and_die
from eventsourcing_alchemy import SQLAlchemyDatastore, SQLAlchemyFactory
from eventsourcing_alchemy.runners import lease as module
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.runners.lease_rows import Holding, LeaseRow
from eventsourcing_alchemy.schema import types
from eventsourcing_alchemy.schema.tables import leases
from factories import OpenFactory
from processes import barrier, in_processes

AGES = 600.0
"""Seconds that no test takes."""

MOMENT = 0.5
"""Seconds that are soon over, and enough for a few statements."""


@pytest.fixture
def datastore(factory: SQLAlchemyFactory) -> SQLAlchemyDatastore:
    factory.tracking_recorder()
    return factory.datastore


def lease(
    datastore: SQLAlchemyDatastore, duration: float = AGES, holder: str | None = None
) -> Lease:
    return Lease(
        datastore, "Projection", "Application", duration=duration, holder=holder
    )


def row(datastore: SQLAlchemyDatastore) -> Holding:
    _, holding = LeaseRow(datastore, "Projection", "Application").look()
    assert holding is not None
    return holding


def expire(datastore: SQLAlchemyDatastore) -> None:
    """Do what time does."""
    holder, token, _ = row(datastore)
    LeaseRow(datastore, "Projection", "Application").expire(holder, token)


def until(condition: Callable[[], bool]) -> None:
    deadline = monotonic() + 20
    while not condition():
        assert monotonic() < deadline
        Event().wait(0.01)


def test_the_first_has_it_and_others_do_not(datastore: SQLAlchemyDatastore) -> None:
    one, other = lease(datastore), lease(datastore)
    assert one.acquire()
    assert one.is_held
    assert not other.is_held
    assert not other.acquire()
    assert not other.renew()
    assert one.renew()
    assert one.acquire()


@pytest.mark.parametrize("before", ["nobody", "somebody"])
def test_one_of_many_rivals_gets_it(
    datastore: SQLAlchemyDatastore, before: str
) -> None:
    """Also for the first time, when there is no row yet."""
    if before == "somebody":
        assert lease(datastore).acquire()
        expire(datastore)
    start = Barrier(8)

    def compete() -> bool:
        rival = lease(datastore)
        start.wait()
        return rival.acquire()

    with ThreadPoolExecutor(8) as threads:
        rivals = [threads.submit(compete) for _ in range(8)]
    assert [rival.result() for rival in rivals].count(True) == 1
    assert row(datastore).token == (1 if before == "nobody" else 2)


@pytest.mark.needs(Capability.SHARED)
def test_one_of_many_processes_gets_it(
    env: dict[str, str], datastore: SQLAlchemyDatastore
) -> None:
    start = barrier(4)
    answers = in_processes([partial(acquire, env, start)] * 4)
    assert sorted(answers) == [[False] * 3] * 3 + [[True] * 3]
    assert row(datastore).token == 1


@pytest.mark.needs(Capability.SHARED)
def test_it_is_taken_over_from_a_process_that_died(
    env: dict[str, str], datastore: SQLAlchemyDatastore
) -> None:
    mine = lease(datastore)
    duration = 1.0
    started = monotonic()
    assert in_processes([partial(acquire_and_die, env, duration)]) == [True]
    assert mine.wait(Event())
    assert monotonic() - started >= duration
    assert (row(datastore).holder, row(datastore).token) == (mine.holder, 2)


def test_a_holder_knows_that_it_expired_before_others_get_it(
    datastore: SQLAlchemyDatastore,
) -> None:
    one, other = lease(datastore, MOMENT), lease(datastore)
    started = monotonic()
    assert one.acquire()
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other.wait, Event())
        until(lambda: not one.is_held)
        lasted = monotonic() - started
        assert waiting.result()
    assert MOMENT <= lasted < 20
    assert not one.renew()
    assert not one.is_held
    assert other.is_held


def test_expired_and_not_taken_it_can_be_renewed(
    datastore: SQLAlchemyDatastore,
) -> None:
    mine = lease(datastore)
    assert mine.acquire()
    expire(datastore)
    assert mine.renew()
    assert not lease(datastore).acquire()


def test_it_is_free_once_released(datastore: SQLAlchemyDatastore) -> None:
    one, other = lease(datastore), lease(datastore)
    assert one.acquire()
    one.release()
    assert not one.is_held
    assert not one.renew()
    assert other.acquire()
    one.release()
    assert not one.acquire()
    assert row(datastore).holder == other.holder


def test_the_token_grows_with_each_change_of_the_holder(
    datastore: SQLAlchemyDatastore,
) -> None:
    one, other = lease(datastore, holder="one"), lease(datastore, holder="other")
    tokens = []
    for each in (one, one, other, one):
        assert each.acquire()
        assert each.renew()
        tokens.append((row(datastore).holder, row(datastore).token))
        each.release()
    assert tokens == [("one", 1), ("one", 1), ("other", 2), ("one", 3)]


def test_the_same_name_is_the_same_holder(datastore: SQLAlchemyDatastore) -> None:
    assert lease(datastore, holder="a").acquire()
    assert not lease(datastore, holder="A").acquire()
    again = lease(datastore, holder="a")
    assert not again.renew()
    assert again.acquire()
    assert row(datastore)[:2] == ("a", 1)


def test_each_renewal_counts_from_the_clock_of_the_database(
    datastore: SQLAlchemyDatastore,
) -> None:
    mine = lease(datastore, 60)
    looking = LeaseRow(datastore, "Projection", "Application")
    before, _ = looking.look()
    expired = before
    for renew in [mine.acquire] + [mine.renew] * 20:
        assert renew()
        after, seen = looking.look()
        assert seen is not None
        assert before <= seen.expires_at - timedelta(seconds=60) <= after
        assert seen.expires_at >= expired
        before, expired = after, seen.expires_at


def test_what_took_longer_than_it_lasts_is_over(
    datastore: SQLAlchemyDatastore,
) -> None:
    """The time counts from before the database was asked, not from its answer."""

    def stall(*_: Any) -> None:
        Event().wait(MOMENT)

    mine = lease(datastore, MOMENT / 2)
    event.listen(datastore.engine, "before_cursor_execute", stall)
    assert not mine.acquire()
    assert not mine.is_held
    event.remove(datastore.engine, "before_cursor_execute", stall)
    assert row(datastore).holder == mine.holder
    assert lease(datastore).acquire()


def test_nothing_is_written_over_what_changed_meanwhile(
    datastore: SQLAlchemyDatastore,
) -> None:
    """The race between looking and writing, step by step."""
    looking = LeaseRow(datastore, "Projection", "Application")
    one = lease(datastore)
    now, seen = looking.look()
    mine = Holding("me", 1, now + timedelta(hours=1))
    assert seen is None
    assert one.acquire()
    assert not looking.replace(None, mine)
    expire(datastore)
    _, seen = looking.look()
    assert seen is not None
    assert one.renew()  # The same holder and token, at another time.
    assert not looking.replace(seen, mine)
    _, seen = looking.look()
    assert seen is not None
    assert not looking.replace(seen._replace(token=2), mine)
    assert not looking.replace(seen._replace(holder="another"), mine)
    assert looking.replace(seen, mine)
    assert not one.renew()
    looking.expire(mine.holder, mine.token + 1)
    looking.expire("another", mine.token)
    assert row(datastore) == mine


def test_a_lost_row_is_a_lost_lease(datastore: SQLAlchemyDatastore) -> None:
    mine = lease(datastore)
    assert mine.acquire()
    with datastore.transaction() as connection:
        connection.execute(leases.delete())
    assert not mine.renew()
    assert not mine.is_held
    assert mine.acquire()


def test_not_inside_of_a_transaction(datastore: SQLAlchemyDatastore) -> None:
    mine = lease(datastore)
    for attempt in (mine.acquire, partial(mine.wait, Event())):
        with (
            pytest.raises(ProgrammingError, match="lease of projection 'Projection'"),
            datastore.transaction(),
        ):
            attempt()
    assert mine.acquire()
    for call in (mine.renew, mine.release):
        with pytest.raises(ProgrammingError), datastore.transaction():
            call()


def test_leases_do_not_mix(datastore: SQLAlchemyDatastore) -> None:
    names = ["p", "P", "p ", "%(x)s :y ?", "'\";--\\", "🙂" * 255]
    held = [
        Lease(datastore, projection, application, holder=projection)
        for projection in names
        for application in names
    ]
    assert all(each.acquire() for each in held)
    assert all(each.renew() for each in held)
    rivals = (Lease(datastore, name, name, holder="rival") for name in names)
    assert not any(each.acquire() for each in rivals)


@pytest.mark.needs(Capability.SCHEMAS)
def test_schemas_do_not_share_it(open_factory: OpenFactory) -> None:
    for schema in ("", "one", "two"):
        factory = open_factory("Projection", SQLALCHEMY_SCHEMA=schema)
        factory.tracking_recorder()
        one, other = lease(factory.datastore), lease(factory.datastore)
        assert one.acquire()
        assert not other.acquire()
        one.release()
        assert other.acquire()


def test_what_cannot_be(datastore: SQLAlchemyDatastore) -> None:
    for names in [("x" * 256, "a"), ("p", "x" * 256), ("p", "\0"), ("\ud800", "a")]:
        with pytest.raises(DataError):
            Lease(datastore, *names)
    with pytest.raises(DataError, match="holder"):
        lease(datastore, holder="x" * 256)
    for duration in (0, -1, float("nan"), float("inf"), 1e300):
        with pytest.raises(ProgrammingError, match="duration is"):
            lease(datastore, duration)


@pytest.mark.empty
def test_errors_of_the_database_pass(factory: SQLAlchemyFactory) -> None:
    """The table is missing here: nothing has made it."""
    mine = lease(factory.datastore)
    for attempt in (mine.acquire, partial(mine.wait, Event())):
        with pytest.raises(PersistenceError, match="es_leases"):
            attempt()
    factory.close()
    with pytest.raises(InterfaceError, match="closed"):
        mine.acquire()


class TestWaiting:
    def test_ends_with_the_release(self, datastore: SQLAlchemyDatastore) -> None:
        one, other = lease(datastore), lease(datastore)
        assert one.acquire()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(other.wait, Event())
            with pytest.raises(TimeoutError):
                waiting.result(timeout=MOMENT)
            one.release()
            released = monotonic()
            assert waiting.result()
        assert monotonic() - released < 2
        assert other.is_held

    def test_ends_when_stopping(
        self, datastore: SQLAlchemyDatastore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """At once, and not when it would look again."""
        monkeypatch.setattr(module, "PAUSE", 20)
        assert lease(datastore).acquire()
        stopping = Event()
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(lease(datastore).wait, stopping)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.1)
            stopping.set()
            stopped = monotonic()
            assert not waiting.result()
        assert monotonic() - stopped < 5

    def test_does_not_begin_when_stopping(self, datastore: SQLAlchemyDatastore) -> None:
        stopping = Event()
        stopping.set()
        mine = lease(datastore)
        assert not mine.wait(stopping)
        assert not mine.is_held


class TestHolding:
    def test_it_is_renewed_then_released(self, datastore: SQLAlchemyDatastore) -> None:
        mine, rival = lease(datastore, 2 * MOMENT), lease(datastore)
        assert mine.acquire()
        begun = row(datastore).expires_at
        with mine.holding(Event()):
            # For longer than it lasts without a renewal.
            while row(datastore).expires_at < begun + timedelta(seconds=2 * MOMENT):
                assert not rival.acquire()
                assert mine.is_held
                Event().wait(0.01)
        assert str(mine) not in {thread.name for thread in threading.enumerate()}
        assert not mine.is_held
        assert rival.acquire()

    def test_it_is_released_when_the_block_fails(
        self, datastore: SQLAlchemyDatastore
    ) -> None:
        mine = lease(datastore)
        assert mine.acquire()
        with pytest.raises(ZeroDivisionError), mine.holding(Event()):
            raise ZeroDivisionError
        assert lease(datastore).acquire()

    def test_it_is_not_renewed_any_more_when_stopping(
        self, datastore: SQLAlchemyDatastore
    ) -> None:
        mine, rival = lease(datastore, MOMENT), lease(datastore)
        stopping = Event()
        assert mine.acquire()
        with mine.holding(stopping):
            stopping.set()
            until(rival.acquire)
            assert not mine.is_held
        assert rival.renew()

    def test_it_ends_however_slow_the_database_is(
        self, datastore: SQLAlchemyDatastore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A lease that takes longer to renew than it lasts is over before."""

        def stall(*_: Any) -> None:
            Event().wait(MOMENT)

        def is_kept() -> bool:
            return str(mine) in {thread.name for thread in threading.enumerate()}

        mine = lease(datastore, MOMENT)
        assert mine.acquire()
        with mine.holding(Event()):
            event.listen(datastore.engine, "before_cursor_execute", stall)
            until(lambda: "takes longer than it lasts" in caplog.text)
            assert not mine.is_held
        until(lambda: not is_kept())
        event.remove(datastore.engine, "before_cursor_execute", stall)
        assert levels(caplog) == [logging.WARNING]

    def test_its_loss_is_logged_once(
        self, datastore: SQLAlchemyDatastore, caplog: pytest.LogCaptureFixture
    ) -> None:
        mine = lease(datastore, MOMENT)
        looking = LeaseRow(datastore, "Projection", "Application")
        assert mine.acquire()
        with mine.holding(Event()):
            now, _ = looking.look()
            thief = Holding("thief", 2, now + timedelta(seconds=AGES))
            # Again, if it is renewed at that moment.
            until(lambda: looking.replace(row(datastore), thief))
            until(lambda: not mine.is_held)
        assert row(datastore) == thief
        assert levels(caplog) == [logging.WARNING]
        assert "taken the lease of projection 'Projection'" in caplog.text

    def test_what_fails_is_tried_again(
        self, datastore: SQLAlchemyDatastore, caplog: pytest.LogCaptureFixture
    ) -> None:
        mine = lease(datastore, MOMENT)
        assert mine.acquire()
        with mine.holding(Event()):
            for _ in range(2):
                hide(datastore)
                until(lambda: not mine.is_held)
                bring_back(datastore)
                until(lambda: mine.is_held)
        assert levels(caplog) == [logging.WARNING] * 2
        assert "Cannot renew the lease of projection 'Projection'" in caplog.text

    def test_a_release_that_fails_is_logged(
        self, datastore: SQLAlchemyDatastore, caplog: pytest.LogCaptureFixture
    ) -> None:
        mine = lease(datastore)
        assert mine.acquire()
        with mine.holding(Event()):
            hide(datastore)
        assert not mine.is_held
        assert levels(caplog) == [logging.WARNING]
        assert "Cannot release the lease" in caplog.text


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    names = {record.name for record in caplog.records}
    assert names == {"eventsourcing_alchemy"}
    return [record.levelno for record in caplog.records]


def hide(datastore: SQLAlchemyDatastore) -> None:
    """Make every statement about leases fail."""
    with datastore.engine.begin() as connection:
        connection.execute(text("ALTER TABLE es_leases RENAME TO hidden_leases"))


def bring_back(datastore: SQLAlchemyDatastore) -> None:
    with datastore.engine.begin() as connection:
        connection.execute(text("ALTER TABLE hidden_leases RENAME TO es_leases"))


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the clock of a database, for the statements of a datastore."""

    def set_clock(datastore: SQLAlchemyDatastore, now: datetime) -> None:
        clock = f"TIMESTAMPTZ '{now.isoformat()}'"
        monkeypatch.setitem(types._NOW, datastore.engine.dialect.name, clock)
        datastore.engine.clear_compiled_cache()
        datastore._checkout._compiled.cache_clear()

    return set_clock


@pytest.mark.needs(Capability.SCHEMAS)
def test_an_hour_that_is_repeated(
    backend: Backend, open_factory: OpenFactory, set_clock: Callable[..., None]
) -> None:
    """Summer time ends in the time zone of the session: what clocks show goes back."""
    zone = "?options=-c%20timezone%3DEurope/Berlin"
    factory = open_factory(SQLALCHEMY_URL=backend.url + zone)
    factory.tracking_recorder()
    store = factory.datastore
    last_second = datetime(2030, 10, 27, 0, 59, 59, tzinfo=UTC)
    set_clock(store, last_second)
    assert lease(store, 5).acquire()
    assert row(store).expires_at == last_second + timedelta(seconds=5)
    set_clock(store, last_second + timedelta(seconds=4))
    assert not lease(store).acquire()
    set_clock(store, last_second + timedelta(seconds=5))
    assert lease(store).acquire()
