"""Rebuilds that are killed: the next one finishes, or undoes, what was begun."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest
from sqlalchemy import Engine, event, select

from backends import Backend, Capability
from eventsourcing_alchemy import RebuildPhase, RebuildProgress
from eventsourcing_alchemy.schema.tables import rebuilds, tracking
from faults.sessions import Sessions
from rebuilding.in_use import InUse, connected, differences, names
from rebuilding.shop import Shop

pytestmark = [pytest.mark.needs(Capability.SHARED), pytest.mark.faults]


class Killed(BaseException):
    """Ends a rebuild; it can do nothing more."""


_READS = ("SELECT", "SHOW", "PRAGMA", "WITH")


class Killer:
    """Kills what is executed in this thread, before one of its changes.

    Who is killed before a statement that reads has done what it had done before the
    next change.
    """

    def __init__(self) -> None:
        self.count = 0
        self.at: int | None = None
        self._thread = threading.get_ident()

    def __call__(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self.count += not statement.lstrip().startswith(_READS)
        if self.at is not None and self.count >= self.at:
            raise Killed


@contextmanager
def killing() -> Iterator[Killer]:
    killer = Killer()
    event.listen(Engine, "before_cursor_execute", killer)
    try:
        yield killer
    finally:
        event.remove(Engine, "before_cursor_execute", killer)


@pytest.fixture
def in_use(env: dict[str, str]) -> Iterator[InUse]:
    with Shop(env) as shop:
        in_use = InUse(env, shop)
        for _ in range(3):
            shop.order("Ada", lines=3)
        in_use.catch_up()
        yield in_use


@pytest.mark.parametrize("first", list(RebuildPhase)[:2])
def test_at_each_statement(
    in_use: InUse, backend: Backend, first: RebuildPhase
) -> None:
    """Each change of the switch, and some of those before it."""
    with connected(backend) as connection:
        expected = names(connection)

    def rebuild(at: int | None) -> int:
        """How many changes it made since the first one that counts."""
        with killing() as killer:

            def told(progress: RebuildProgress) -> None:
                if progress.phase is RebuildPhase.SWITCHING:
                    killer.count, killer.at = 0, at

            if first is RebuildPhase.BUILDING:
                killer.at = at
                in_use.rebuild()
            else:
                in_use.rebuild(progress=told)
            return killer.count

    number = rebuild(None)
    assert number > 10
    for at in range(1, number + 1, 1 if first is RebuildPhase.SWITCHING else 5):
        try:
            rebuild(at)
        except Killed:
            pass
        else:
            pytest.fail(f"was not killed at {at} of {number}")
        in_use.shop.order("Bea")
        in_use.catch_up()
        lines = in_use.lines()
        assert [position for *_, position in in_use.content()] == lines, at
        in_use.rebuild()
        assert [position for *_, position in in_use.content()] == lines, at
        with connected(backend) as connection:
            assert connection.execute(select(rebuilds)).all() == []
            assert len(connection.execute(select(tracking)).all()) == 1
            assert names(connection) == expected, at
            assert differences(connection) == []


@pytest.mark.needs(Capability.SERVER)
def test_while_sessions_are_terminated(in_use: InUse, backend: Backend) -> None:
    ended = Event()

    def terminate() -> None:
        pause = 1.0
        while not ended.wait(pause):
            sessions.end_all("connection during a rebuild")
            pause *= 1.1  # A slow machine may need longer for a switch.

    sessions, thread = Sessions(backend.url), Thread(target=terminate)
    with in_use.busy(is_tolerant=True) as busy:
        thread.start()
        try:
            for _ in range(2):
                in_use.rebuild()
        finally:
            ended.set()
            thread.join()
    assert not busy.problems
    in_use.catch_up()
    assert [position for *_, position in in_use.content()] == in_use.lines()


@pytest.mark.needs(Capability.SERVER)
def test_that_loses_transactions_of_the_switch(in_use: InUse, backend: Backend) -> None:
    """Once the position of the view in use is locked, and there is more to process."""
    sessions, rounds, executed = Sessions(backend.url), iter(range(3)), [""]

    def order(progress: RebuildProgress) -> None:
        if progress.phase is RebuildPhase.SWITCHING:
            in_use.shop.order("Bea")
            in_use.catch_up()

    def end(*arguments: Any) -> None:
        # Nothing else sets a position to itself, then asks for it.
        executed.append(arguments[2])
        is_lock = "SET notification_id=es_tracking.notification_id" in executed[-2]
        if is_lock and next(rounds, None) is not None:
            sessions.end_all("connection during a switch")

    event.listen(Engine, "after_cursor_execute", end)
    try:
        in_use.rebuild(progress=order)
    finally:
        event.remove(Engine, "after_cursor_execute", end)
    assert next(rounds, None) is None
    in_use.catch_up()
    assert [position for *_, position in in_use.content()] == in_use.lines()
