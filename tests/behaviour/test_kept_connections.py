"""SQLite's writers use one connection, one after the other, beside the pool."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from eventsourcing.persistence import IntegrityError, InterfaceError
from sqlalchemy import event, make_url

from backends import Backend, Capability
from behaviour.workers import DeliberateError, ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from factories import OpenFactory

pytestmark = pytest.mark.needs(Capability.FILE_LOCKS)


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


def test_is_used_again(recorder: SQLAlchemyApplicationRecorder) -> None:
    """Also after a conflict, and by other threads."""
    opened: list[Any] = []
    taken = new_events()
    recorder.insert_events(taken)
    event.listen(recorder.datastore.engine, "connect", lambda *_: opened.append(1))
    with ThreadPoolExecutor(4) as threads:
        for _ in range(5):
            with pytest.raises(IntegrityError):
                recorder.insert_events(taken)
            threads.submit(recorder.insert_events, new_events()).result()
    assert opened == []
    assert ids(recorder) == list(range(1, 7))


def test_takes_no_place_in_the_pool(open_factory: OpenFactory) -> None:
    variables = {"SQLALCHEMY_POOL_SIZE": "1", "SQLALCHEMY_MAX_OVERFLOW": "0"}
    recorder = open_factory(**variables).application_recorder()
    recorder.insert_events(new_events())
    with ThreadPoolExecutor(1) as threads:
        for _ in range(2):
            with recorder.datastore.reading():
                assert threads.submit(recorder.insert_events, new_events()).result()
            with recorder.transaction():
                assert recorder.insert_events(new_events())
    assert ids(recorder) == [1, 2, 3, 4, 5]


def test_sees_the_end_of_what_others_see(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """A listener has SQLAlchemy execute the statements, which begins transactions."""
    recorder.insert_events(new_events())
    engine = recorder.datastore.engine

    def hear(*_: Any) -> None:
        heard.append(1)

    heard: list[int] = []
    for _ in range(2):
        event.listen(engine, "before_cursor_execute", hear)
        recorder.insert_events(new_events())
        event.remove(engine, "before_cursor_execute", hear)
        recorder.insert_events(new_events())
        with suppress(DeliberateError), recorder.transaction():
            recorder.insert_events(new_events())
            raise DeliberateError
    assert heard
    assert ids(recorder) == [1, 2, 3, 4, 5]


def test_is_closed_by_who_uses_it_last(
    recorder: SQLAlchemyApplicationRecorder,
    factory: SQLAlchemyFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The fixtures check that nothing stays open."""
    dialect = recorder.datastore.dialect
    append, begun, closed = dialect.append, Event(), Event()

    def append_when_closed(*arguments: Any, **options: Any) -> int:
        begun.set()
        assert closed.wait(10)
        return append(*arguments, **options)

    monkeypatch.setattr(dialect, "append", append_when_closed)
    with ThreadPoolExecutor(1) as threads:
        appending = threads.submit(recorder.insert_events, new_events())
        assert begun.wait(10)
        factory.close()
        closed.set()
        with suppress(InterfaceError):
            appending.result(timeout=10)


def test_is_closed_when_it_is_interrupted(
    recorder: SQLAlchemyApplicationRecorder,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fork would wait for it, and refuse the child."""
    recorder.insert_events(new_events())
    path = make_url(backend.url).database or ""
    before = open_files(path)

    def interrupt(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recorder.datastore.dialect, "append", interrupt)
        for _ in range(3):
            with pytest.raises(KeyboardInterrupt):
                recorder.insert_events(new_events())
    recorder.insert_events(new_events())
    assert open_files(path) == before


def open_files(path: str) -> int:
    """Counts how often this process has a file open."""
    found = Path("/proc/self/fd").iterdir()
    return sum(os.path.realpath(each) == os.path.realpath(path) for each in found)
