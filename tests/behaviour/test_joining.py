"""Code that cannot join an open transaction never commits beside it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

import pytest
import trio
import trio.testing
from eventsourcing.persistence import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from backends import Backend, Capability
from behaviour.workers import DeliberateError, ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from factories import OpenFactory

outside = pytest.raises(ProgrammingError, match="cannot join it")


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


def block(recorder: SQLAlchemyApplicationRecorder) -> Iterator[None]:
    """As a fixture, or a dependency of a web framework."""
    with recorder.transaction():
        recorder.insert_events(new_events())
        yield


def test_thread_that_inherits_the_context(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    with ThreadPoolExecutor(1) as threads:
        with recorder.transaction():
            inherited = copy_context()
            write = threads.submit(inherited.run, recorder.insert_events, new_events())
            with outside:
                write.result()
        assert inherited.run(recorder.insert_events, new_events()) == [1]


def test_task_of_asyncio(recorder: SQLAlchemyApplicationRecorder) -> None:
    async def write() -> None:
        recorder.insert_events(new_events())

    async def main() -> None:
        with recorder.transaction():
            recorder.insert_events(new_events())
            task = asyncio.create_task(write())
            with outside:
                await task

    asyncio.run(main())
    assert ids(recorder) == [1]


def test_task_of_trio(recorder: SQLAlchemyApplicationRecorder) -> None:
    async def write() -> None:
        with outside:
            recorder.insert_events(new_events())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            with recorder.transaction():
                recorder.insert_events(new_events())
                nursery.start_soon(write)
                await trio.testing.wait_all_tasks_blocked()
                assert recorder.datastore.is_in_transaction()

    trio.run(main)
    assert ids(recorder) == [1]


def test_block_that_was_entered_by_this_thread_in_another_context(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    entered = block(recorder)
    copy_context().run(next, entered)
    with outside:
        recorder.insert_events(new_events())
    assert next(entered, "ended") == "ended"
    assert recorder.insert_events(new_events()) == [2]


@pytest.mark.needs(Capability.ROW_LOCKS)
def test_reading_hides_no_transaction(recorder: SQLAlchemyApplicationRecorder) -> None:
    """In other contexts of the thread, and in other threads of a task."""
    entered, reading = block(recorder), recorder.reading()
    Context().run(next, entered)
    Context().run(reading.__enter__)
    with outside:
        recorder.insert_events(new_events())
    Context().run(reading.__exit__, None, None, None)
    with outside:
        recorder.insert_events(new_events())
    Context().run(next, entered, "ended")

    async def handle() -> None:
        with recorder.reading(), outside:
            await asyncio.to_thread(recorder.insert_events, new_events())

    async def main() -> None:
        with recorder.transaction():
            recorder.insert_events(new_events())
            await asyncio.create_task(handle())

    asyncio.run(main())
    assert ids(recorder) == [1, 2]


def test_contexts_that_are_copied_inside_of_blocks(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """As a task does that schedules the next one, again and again."""
    limit, context = sys.getrecursionlimit(), copy_context()

    def copied() -> Context:
        with recorder.transaction():
            return copy_context()

    for _ in range(limit):
        context = context.run(copied)
    assert context.run(recorder.insert_events, new_events()) == [1]


def throw(entered: Any) -> None:
    entered.throw(DeliberateError())


@pytest.mark.parametrize("leave", [next, throw])
def test_block_that_is_left_in_another_thread(
    recorder: SQLAlchemyApplicationRecorder, leave: Callable[[Any], None]
) -> None:
    entered = block(recorder)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(next, entered).result()
    with pytest.raises(ProgrammingError, match="ended in another thread or task"):
        leave(entered)
    assert recorder.insert_events(new_events()) == [1]


def test_block_that_is_left_in_another_task(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    entered = block(recorder)

    async def step() -> object:
        return next(entered, "ended")

    async def main() -> None:
        await asyncio.create_task(step())
        await asyncio.create_task(step())

    with pytest.raises(ProgrammingError, match="ended in another thread or task"):
        asyncio.run(main())
    assert ids(recorder) == []


def test_block_that_outlives_the_one_around_it(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    """Two generators: the second one is inside the block of the first one."""
    first, second = block(recorder), block(recorder)
    next(first)
    next(second)
    with pytest.raises(ProgrammingError, match="ended before another one"):
        next(first)
    assert recorder.insert_events(new_events()) == [1]
    with pytest.raises(ProgrammingError, match="ended before another one"):
        next(second)
    assert ids(recorder) == [1]


def test_block_that_is_forgotten(recorder: SQLAlchemyApplicationRecorder) -> None:
    """The garbage collector leaves it, in whichever thread."""
    entered = block(recorder)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(next, entered).result()
    del entered
    assert recorder.insert_events(new_events()) == [1]


@pytest.mark.needs(Capability.SHARED)
def test_recorders_within_reading_take_no_second_connection(
    open_factory: OpenFactory,
) -> None:
    """Or threads that each have one would wait for each other."""
    few = {"SQLALCHEMY_POOL_SIZE": "1", "SQLALCHEMY_MAX_OVERFLOW": "0"}
    factory = open_factory(SQLALCHEMY_POOL_TIMEOUT="0.1", **few)
    recorder = factory.application_recorder()
    (event,) = new_events()
    recorder.insert_events([event])
    with recorder.datastore.reading():
        assert recorder.select_events(event.originator_id) == [event]
        assert recorder.max_notification_id() == 1
        assert ids(recorder) == [1]


@pytest.mark.needs(Capability.SHARED, Capability.ASYNC_DRIVER)
def test_async_session(
    recorder: SQLAlchemyApplicationRecorder, backend: Backend
) -> None:
    # That of the others has the same name.
    url = backend.url.replace("sqlite:", "sqlite+aiosqlite:")

    def write(session: Session) -> None:
        with recorder.transaction(session):
            recorder.insert_events(new_events())

    async def main() -> None:
        engine = create_async_engine(url)
        async with AsyncSession(engine) as session:
            with pytest.raises(ProgrammingError, match=r"await bind\.run_sync"):
                recorder.transaction(session).__enter__()  # type: ignore[arg-type]
            await session.run_sync(write)
            await session.rollback()
            await session.run_sync(write)
            await session.commit()
            with suppress(DeliberateError):
                async with session.begin():
                    await session.run_sync(write)
                    raise DeliberateError
        await engine.dispose()

    asyncio.run(main())
    assert ids(recorder) == [1]
