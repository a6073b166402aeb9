"""What a test must not leave behind: threads, connections, files."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any
from weakref import ref

from sqlalchemy import Pool, event

from backends import Backend

PATIENCE = 5.0
"""Seconds for threads to end, and for a server to notice that a connection did."""

_connections: dict[int, tuple[str, Callable[[], object]]] = {}
"""What each is called, and what tells whether it is there still."""


@event.listens_for(Pool, "connect")
def _opened(connection: Any, record: Any) -> None:
    # Nothing can refer to one of SQLite without keeping it open.
    is_there: Callable[[], object] = partial(_connection_of, ref(record))
    # A pool says nothing of those that break while they begin.
    with suppress(TypeError):
        is_there = ref(connection)
    _connections[id(connection)] = f"connection {connection!r}", is_there


def _connection_of(record: Callable[[], Any]) -> object:
    found = record()
    return None if found is None else found.dbapi_connection


@event.listens_for(Pool, "close")
def _closed(connection: Any, _record: object) -> None:
    _connections.pop(id(connection), None)


@event.listens_for(Pool, "close_detached")
def _closed_detached(connection: Any) -> None:
    _connections.pop(id(connection), None)


class Leaks:
    """Remembers what there was before a test, to tell what is there after it."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._threads = set(threading.enumerate())
        self._connections = set(_connections)

    def check(self) -> None:
        """Fail if anything of the test's is still there.

        What is merely unreachable is not: the host leaves the closing of a
        projection's view to the garbage collector.
        """
        gc.collect()
        # Pytest keeps much of each test, which the next one need not look through.
        gc.freeze()
        deadline = time.monotonic() + PATIENCE
        while (left := list(self._left())) and time.monotonic() < deadline:
            for thread in self._new_threads():
                thread.join(PATIENCE)
        assert not left, "the test left behind: " + ", ".join(left)

    def _new_threads(self) -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each not in self._threads]

    def _left(self) -> Iterator[str]:
        yield from (f"thread {thread.name}" for thread in self._new_threads())
        yield from (
            name
            for key, (name, is_there) in list(_connections.items())
            if key not in self._connections and is_there() is not None
        )
        yield from self._backend.leftovers()
