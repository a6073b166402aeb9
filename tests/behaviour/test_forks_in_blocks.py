"""A child that is forked inside a block, and leaves the block as its parent does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from threading import Event
from typing import Any

import pytest
from eventsourcing.persistence import ProgrammingError, Tracking
from sqlalchemy import Connection, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from backends import Capability
from eventsourcing_alchemy import upsert
from eventsourcing_alchemy.dialects.sqlite import fork_guard
from faults.waiting import wait_until
from positions import Positions

pytestmark = [
    pytest.mark.faults,
    pytest.mark.needs(Capability.SHARED),
    pytest.mark.filterwarnings(
        "ignore:.*multi-threaded, use of fork:DeprecationWarning"
    ),
]

Block = Callable[[Positions], AbstractContextManager[Connection]]


@contextmanager
def processing(view: Positions) -> Iterator[Connection]:
    with view.processing(Tracking("Application", 1)) as connection:
        yield connection


@contextmanager
def transaction(view: Positions) -> Iterator[Connection]:
    with view.transaction() as connection:
        view.insert_tracking(Tracking("Application", 1))
        yield connection


@contextmanager
def session(view: Positions) -> Iterator[Connection]:
    with view.session() as session:
        view.insert_tracking(Tracking("Application", 1))
        yield session.connection()


@contextmanager
def callers_session(view: Positions) -> Iterator[Connection]:
    with (
        Session(view.datastore.engine) as session,
        session.begin(),
        view.transaction(session) as connection,
    ):
        view.insert_tracking(Tracking("Application", 1))
        yield connection


def go_on() -> None:
    pass


def leave() -> None:
    raise SystemExit(0)


def fail() -> None:
    raise ZeroDivisionError


@pytest.fixture
def view(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Positions]:
    monkeypatch.setattr(fork_guard, "PATIENCE", 0.1)
    with Positions.opened("positions", env) as view:
        yield view


def in_block(block: AbstractContextManager[Any], *work: Callable[[Any], None]) -> None:
    """Work, the second half of it when a child has left the block."""
    first, second, child = work
    parent = os.getpid()
    try:
        with block as connection:
            first(connection)
            pid = os.fork()
            if pid:
                assert os.waitpid(pid, 0)[1] == 0
                second(connection)
            else:
                child(connection)
    except BaseException as error:
        if os.getpid() == parent:
            raise
        # SQLAlchemy's is that of a session, whose own statements are refused.
        expected = (SystemExit, ZeroDivisionError, ProgrammingError, SQLAlchemyError)
        os._exit(0 if isinstance(error, expected) else 1)
    if os.getpid() != parent:
        os._exit(2)


@pytest.mark.parametrize("block", [processing, transaction, session, callers_session])
@pytest.mark.parametrize("end", [go_on, leave, fail])
def test_the_transaction_is_the_parent_s(
    view: Positions, block: Block, end: Callable[[], None]
) -> None:
    def count(position: int) -> Callable[[Connection], None]:
        row = {"position": position, "times": 1}

        def execute(connection: Connection) -> None:
            connection.execute(upsert(view.positions, row))

        return execute

    in_block(block(view), count(1), count(2), lambda _: end())
    assert view.all() == {1: 1, 2: 1}
    assert view.max_tracking_id("Application") == 1


@pytest.mark.needs(Capability.SERVER)
def test_a_child_waits_for_no_thread_of_the_parent(view: Positions) -> None:
    """Which had the lock of the pool, and is not there in the child."""
    pool: Any = view.datastore.engine.pool
    is_locked, is_forked = Event(), Event()

    def lock() -> None:
        with pool._pool.mutex:
            is_locked.set()
            assert is_forked.wait(30)

    with view.transaction(), ThreadPoolExecutor(1) as threads:
        threads.submit(lock)
        assert is_locked.wait(30)
        pid = os.fork()
        if not pid:
            os._exit(0)
        is_forked.set()
        try:
            wait_until(lambda: os.waitpid(pid, os.WNOHANG) != (0, 0), "it hangs")
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise


def test_a_reading_block_is_the_parent_s(view: Positions) -> None:
    def read(connection: Connection) -> None:
        assert connection.execute(select(view.positions)).all() == []

    in_block(view.reading(), read, read, lambda _: leave())


def test_a_block_that_is_collected_in_the_child(view: Positions) -> None:
    with closing(self_contained(view)) as blocks:
        connection = next(blocks)
        pid = os.fork()
        if not pid:
            blocks.close()
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        connection.execute(upsert(view.positions, {"position": 1, "times": 1}))
        assert list(blocks) == []
    assert view.all() == {1: 1}


def self_contained(view: Positions) -> Generator[Connection, None, None]:
    with transaction(view) as connection:
        yield connection
