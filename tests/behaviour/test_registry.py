"""Objects that are shared within a process, and closed with their last user."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from behaviour.workers import DeliberateError
from eventsourcing_alchemy.database import shared_objects
from eventsourcing_alchemy.database.shared_objects import SharedObjects
from interrupts import interrupted


class Thing:
    def __init__(self) -> None:
        self.closed: list[bool] = []

    def close(self) -> None:
        self.closed.append(True)

    def is_closed(self) -> bool:
        return bool(self.closed)


@pytest.fixture
def registry() -> SharedObjects[Thing]:
    return SharedObjects(Thing.close, lambda _: None)


def test_is_closed_with_its_last_user(registry: SharedObjects[Thing]) -> None:
    one, same, other = (registry.acquire(key, Thing) for key in ("a", "a", "b"))
    assert one is same is not other
    registry.release("a")
    assert not one.is_closed()
    registry.release("a")
    assert one.is_closed()
    assert not other.is_closed()
    assert registry.acquire("a", Thing) is not one


def test_what_is_slow_to_make_holds_up_nobody_else(
    registry: SharedObjects[Thing],
) -> None:
    making, made = Event(), Event()

    def make_slowly() -> Thing:
        making.set()
        made.wait()
        return Thing()

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(registry.acquire, "slow", make_slowly)
        making.wait()
        same = threads.submit(registry.acquire, "slow", Thing)
        registry.acquire("fast", Thing)
        registry.release("fast")
        made.set()
        assert slow.result() is same.result()


def test_what_cannot_be_made_is_tried_again(registry: SharedObjects[Thing]) -> None:
    def fail() -> Thing:
        raise DeliberateError

    with pytest.raises(DeliberateError):
        registry.acquire("a", fail)
    assert not registry.acquire("a", Thing).is_closed()


def test_release_amid_another_call_is_made_up_for(
    registry: SharedObjects[Thing],
) -> None:
    """As when the garbage collector runs a finalizer there."""
    one = registry.acquire("a", Thing)
    registry._is_changing = True
    registry.release("a")
    assert not one.is_closed()
    registry._is_changing = False
    registry.acquire("b", Thing)
    registry.release("b")
    assert one.is_closed()


def test_interrupted_anywhere() -> None:
    """What others acquire is closed after its last user, nevertheless."""
    registry: SharedObjects[Thing] = SharedObjects(Thing.close, lambda _: None)
    files = {shared_objects.__file__, contextlib.__file__}

    def use() -> None:
        registry.acquire("interrupted", Thing)
        registry.release("interrupted")

    point = 0
    while interrupted(use, point, files):
        with ThreadPoolExecutor(1) as others:
            other = others.submit(registry.acquire, "other", Thing).result(timeout=10)
            others.submit(registry.release, "other").result(timeout=10)
        assert other.is_closed()
        point += 1
    assert point > 10


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], None]]:
    """What the interpreter calls when a thread forks."""
    hooks: dict[str, Callable[[], None]] = {}
    monkeypatch.setattr(
        shared_objects, "register_at_fork", lambda **given: hooks.update(given)
    )
    return hooks


def test_is_ready_until_the_last_thread_has_forked(
    hooks: dict[str, Callable[[], None]],
) -> None:
    """Also what is shared meanwhile."""
    ready: set[str] = set()
    add, discard = ready.add, ready.discard
    registry = SharedObjects[str](discard, discard, add, discard)
    registry.acquire("a", lambda: "one")
    with ThreadPoolExecutor(1) as another:
        hooks["before"]()
        another.submit(hooks["before"]).result()
        registry.acquire("b", lambda: "two")
        assert ready == {"one", "two"}
        hooks["after_in_parent"]()
        assert ready == {"one", "two"}
        another.submit(hooks["after_in_parent"]).result()
        assert ready == set()
        hooks["before"]()
        another.submit(hooks["before"]).result()
        hooks["after_in_child"]()  # The other thread is not there.
        assert ready == set()
        hooks["before"]()
        hooks["after_in_parent"]()
        assert ready == set()
