"""Processes that fork, and processes that start together."""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from queue import Queue
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from time import monotonic
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import OperationalError, ProgrammingError, Tracking
from eventsourcing.projection import Projection
from sqlalchemy import Engine, create_engine, literal, select

from backends import Backend, Capability
from behaviour.workers import come_up
from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyProjectionRunner,
    State,
)
from eventsourcing_alchemy.dialects.sqlite import fork_guard
from eventsourcing_alchemy.resilience import connecting
from eventsourcing_alchemy.schema.tables import events
from faults.waiting import wait_until
from positions import Positions
from processes import barrier, forking, in_forks, in_processes

pytestmark = [
    pytest.mark.faults,
    pytest.mark.needs(Capability.SHARED),
    pytest.mark.filterwarnings(
        "ignore:.*multi-threaded, use of fork:DeprecationWarning"
    ),
]


@pytest.fixture
def application(env: dict[str, str]) -> Iterator[Application[UUID]]:
    application = Application[UUID](env)
    yield application
    application.close()


def save(application: Application[UUID]) -> int | None:
    aggregate = Aggregate()
    (recording,) = application.save(aggregate)
    assert application.repository.get(aggregate.id) == aggregate
    return recording.notification.id


def test_child_uses_inherited_application(application: Application[UUID]) -> None:
    assert save(application) == 1

    def child() -> list[int | None]:
        return [save(application), save(application)]

    assert in_forks([child]) == [[2, 3]]
    assert save(application) == 4


def test_child_uses_application_that_never_connected_before(
    env: dict[str, str], application: Application[UUID]
) -> None:
    other = Application[UUID](env)
    assert in_forks([partial(save, other)]) == [1]
    assert save(other) == 2
    other.close()
    assert save(application) == 3


def test_child_closes_inherited_application(application: Application[UUID]) -> None:
    save(application)

    def child() -> None:
        save(application)
        application.close()

    in_forks([child])
    assert save(application) == 3


def test_what_child_records_survives_parent(env: dict[str, str]) -> None:
    """SQLite's last user removes the log; a child must not be overlooked."""
    application = Application[UUID](env)
    save(application)
    used, closed = forking.Event(), forking.Event()

    def child() -> list[int | None]:
        first = save(application)
        used.set()
        assert closed.wait(timeout=30)
        return [first, save(application), save(application)]

    def close() -> None:
        assert used.wait(timeout=30)
        application.close()
        closed.set()

    with ThreadPoolExecutor(1) as threads:
        closing = threads.submit(close)
        assert in_forks([child]) == [[2, 3, 4]]
        closing.result()
    later = Application[UUID](env)
    assert save(later) == 5
    later.close()


def test_child_collects_inherited_application(env: dict[str, str]) -> None:
    """The child's last reference ends nothing that is the parent's."""
    applications = [Application[UUID](env)]
    save(applications[0])
    in_forks([applications.clear])
    assert save(applications[0]) == 2
    applications[0].close()


def test_child_iterates_over_an_inherited_subscription(
    application: Application[UUID],
) -> None:
    """Also if a thread of the parent was doing so, which is not there in the child."""
    recorder = application.recorder
    assert isinstance(recorder, SQLAlchemyApplicationRecorder)

    def child() -> int:
        save(application)
        return next(subscription).id

    with recorder.subscribe() as subscription, ThreadPoolExecutor(1) as threads:
        following = threads.submit(next, subscription)
        wait_until(lambda: subscription._looking, "the thread iterates")
        assert in_forks([child]) == [1]
        assert following.result(10).id == 1


class Nothing(Projection[Positions]):
    name = "nothing"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.note(tracking)


def test_runner_of_the_parent_does_nothing_in_a_child(env: dict[str, str]) -> None:
    """It says so; before, a program that made itself a daemon waited for ever."""

    def child() -> object:
        with pytest.raises(ProgrammingError, match="Construct a runner after the f"):
            runner.run_forever()
        return runner.health().state

    def leave() -> None:
        runner.__exit__(None, None, None)

    runner = SQLAlchemyProjectionRunner(
        application_class=Application[UUID],
        projection_class=Nothing,
        view_class=Positions,
        env=env,
    )
    with runner:
        assert in_forks([child]) == [State.FAILED]
        in_forks([leave])
        save(runner.app)
        runner.wait(1, timeout=10)
        assert runner.view.all() == {1: 1}


@pytest.mark.needs(Capability.KNOWN_SOCKETS)
@pytest.mark.parametrize("topic", ["", "__main__:engine"])
def test_locks_end_with_the_process_that_took_them(
    env: dict[str, str], topic: str
) -> None:
    """Although a child of it lives, which has inherited the socket."""
    variables = {**os.environ, **env, "SQLALCHEMY_ENGINE_TOPIC": topic}
    service = [sys.executable, "-c", KILLED_WHILE_A_CHILD_LIVES]
    with subprocess.Popen(
        service, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            process.kill()
            process.wait()
            with closing(Application[UUID](env)) as restarted:
                assert save(restarted) == 1
        finally:
            os.kill(child, signal.SIGKILL)


KILLED_WHILE_A_CHILD_LIVES = """
import multiprocessing, os, time
from uuid import UUID
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from sqlalchemy import create_engine

engine = create_engine(os.environ["SQLALCHEMY_URL"])
with engine.connect():  # Before anybody knows that it is to be ours.
    pass

application = Application[UUID]()
with application.recorder.transaction():
    application.save(Aggregate())
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    child.start()
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_a_fork_that_python_does_not_notice_is_refused(
    application: Application[UUID],
) -> None:
    """As uWSGI forks, by default."""
    assert save(application) == 1
    pid = ctypes.PyDLL(None).fork()
    if not pid:
        try:
            save(application)
        except ProgrammingError as error:
            os._exit(0 if "py-call-uwsgi-fork-hooks" in str(error) else 1)
        os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert save(application) == 2


def test_a_fork_that_python_does_not_notice_closes_nothing(
    application: Application[UUID],
) -> None:
    """In a block, the parent would not try again."""
    recorder: Any = application.recorder
    save(application)
    pid = ctypes.PyDLL(None).fork()
    if not pid:
        application.close()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    with recorder.transaction():
        save(application)
    assert save(application) == 3


def test_children_and_parent_append_together(
    application: Application[UUID],
) -> None:
    save(application)

    def child() -> list[int | None]:
        return [save(application) for _ in range(10)]

    taken = in_forks([child] * 4)
    assert sorted(i or 0 for ids in taken for i in ids) == list(range(2, 42))
    assert save(application) == 42


@pytest.mark.needs(Capability.SERVER)
def test_child_forked_in_a_transaction_is_not_inside_it(
    application: Application[UUID],
) -> None:
    save(application)
    recorder = application.recorder
    assert isinstance(recorder, SQLAlchemyApplicationRecorder)

    with recorder.transaction():
        save(application)
        assert in_forks([recorder.max_notification_id]) == [1]
    assert recorder.max_notification_id() == 2


@pytest.mark.needs(Capability.SERVER)
def test_child_forked_while_another_thread_appends(
    application: Application[UUID],
) -> None:
    """No lock that a thread of the parent's held stays held in the child.

    SQLite cannot do that: in the child, it believes that it holds the file locks of
    the parent.
    """
    recorder = application.recorder
    assert isinstance(recorder, SQLAlchemyApplicationRecorder)
    appended, forked = Event(), forking.Event()

    def append_and_wait() -> None:
        with recorder.transaction():
            save(application)
            appended.set()
            assert forked.wait(timeout=30)

    def child() -> int | None:
        forked.set()
        return save(application)

    with ThreadPoolExecutor(1) as threads:
        appending = threads.submit(append_and_wait)
        appended.wait(timeout=10)
        assert in_forks([child]) == [2]
        appending.result()
    assert save(application) == 3


@pytest.fixture(params=["", "ENGINE", "CONNECTION_CREATOR"])
def made_by(
    env: dict[str, str],
    backend: Backend,
    topic_of: Callable[[object], str],
    request: pytest.FixtureRequest,
) -> Iterator[None]:
    """Who makes connections: we, an engine of the user's, or a creator."""
    engine = create_engine(backend.url)
    found = {
        "ENGINE": engine,
        "CONNECTION_CREATOR": partial(
            sqlite3.connect, engine.url.database, check_same_thread=False
        ),
    }
    if request.param:
        env[f"SQLALCHEMY_{request.param}_TOPIC"] = topic_of(found[request.param])
    yield
    engine.dispose()


@pytest.mark.needs(Capability.FILE_LOCKS)
@pytest.mark.usefixtures("made_by")
def test_child_forked_while_a_connection_is_not_in_use(
    env: dict[str, str],
) -> None:
    with closing(Application[UUID](env)) as application:
        save(application)
        assert in_forks([partial(save, application)] * 2) in [[2, 3], [3, 2]]
        assert save(application) == 4


@pytest.mark.needs(Capability.FILE_LOCKS)
def test_no_fork_while_a_connection_is_opened(
    application: Application[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite has a lock meanwhile that nobody would release in the child."""
    opening, forked = Event(), Event()

    def open_slowly(*arguments: Any) -> Any:
        opening.set()
        assert not forked.wait(0.2)
        return connecting.connect_as_told(*arguments)

    recorder: Any = application.recorder
    recorder.datastore.engine.dispose()
    monkeypatch.setattr(fork_guard, "connect_as_told", open_slowly)
    with ThreadPoolExecutor(1) as threads:
        reading = threads.submit(recorder.max_notification_id)
        assert opening.wait(30)
        pid = os.fork()
        if not pid:
            os._exit(0)
        forked.set()
        assert os.waitpid(pid, 0)[1] == 0
        assert reading.result() is None


@pytest.fixture
def engine(
    env: dict[str, str], backend: Backend, topic_of: Callable[[object], str]
) -> Iterator[Engine]:
    """Of the user's."""
    engine = create_engine(backend.url)
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    yield engine
    engine.dispose()


@pytest.mark.needs(Capability.SERVER)
def test_engine_of_the_user_s_whose_application_is_closed(
    env: dict[str, str], engine: Engine
) -> None:
    """Its connections are the child's to use: the parent may have left them to it."""
    with closing(Application[UUID](env)) as application:
        save(application)

    def child() -> int:
        with engine.connect() as connection:
            return connection.scalar(select(literal(1))) or 0

    assert in_forks([child]) == [1]


@pytest.mark.needs(Capability.FILE_LOCKS)
@pytest.mark.usefixtures("made_by")
def test_child_forked_while_threads_read_all_the_time(env: dict[str, str]) -> None:
    """Each of them for a moment."""
    ended = Event()

    def read(application: Application[UUID]) -> None:
        while not ended.is_set():
            application.recorder.max_notification_id()

    with closing(Application[UUID](env)) as application, ThreadPoolExecutor(4) as pool:
        save(application)
        reading = [pool.submit(read, application) for _ in range(4)]
        try:
            assert in_forks([partial(save, application)]) == [2]
        finally:
            ended.set()
        for each in reading:
            each.result()


@pytest.mark.needs(Capability.FILE_LOCKS)
def test_child_forked_after_the_pool_was_disposed_of(
    env: dict[str, str], engine: Engine
) -> None:
    """And got a connection back after that."""
    with closing(Application[UUID](env)) as application:
        save(application)
        with engine.connect() as connection:
            connection.execute(select(events)).all()
            disposed = engine.pool
            engine.dispose()
        assert in_forks([partial(save, application)]) == [2]
        assert disposed is not engine.pool


@pytest.mark.needs(Capability.FILE_LOCKS)
@pytest.mark.usefixtures("made_by")
def test_child_forked_while_another_thread_reads_is_refused(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_guard, "PATIENCE", 0.1)
    reads, forked = Event(), Event()

    def read(application: Application[UUID]) -> None:
        with application.recorder.reading() as connection:  # type: ignore[attr-defined]
            connection.execute(select(events)).all()
            reads.set()
            assert forked.wait(30)

    def child(application: Application[UUID]) -> None:
        with pytest.raises(OperationalError, match="start the process by spawn"):
            save(application)

    with closing(Application[UUID](env)) as application:
        save(application)
        with ThreadPoolExecutor(1) as threads:
            reading = threads.submit(read, application)
            assert reads.wait(30)
            in_forks([partial(child, application)])
            forked.set()
            reading.result()
        assert save(application) == 2


@pytest.mark.needs(Capability.FILE_LOCKS)
def test_child_forked_while_a_connection_is_in_use_is_refused(
    application: Application[UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fork_guard, "PATIENCE", 0.1)
    recorder = application.recorder
    assert isinstance(recorder, SQLAlchemyApplicationRecorder)

    def child() -> None:
        with pytest.raises(OperationalError, match="start the process by spawn"):
            save(application)

    with recorder.transaction():
        save(application)
        in_forks([child])
    assert save(application) == 2


def test_subscription_of_parent_outlives_child(
    application: Application[UUID],
) -> None:
    """It receives what the child records, and goes on after the child has ended."""
    received: Queue[int] = Queue()
    subscription = application.recorder.subscribe()

    def follow() -> None:
        with subscription:
            for notification in subscription:
                received.put(notification.id)

    with ThreadPoolExecutor(1) as threads:
        following = threads.submit(follow)
        try:
            save(application)
            assert received.get(timeout=10) == 1
            in_forks([partial(save, application)])
            assert received.get(timeout=10) == 2
            save(application)
            assert received.get(timeout=10) == 3
        finally:
            subscription.stop()
        following.result(timeout=10)


def test_child_subscribes_to_inherited_application(
    application: Application[UUID],
) -> None:
    with application.recorder.subscribe() as subscription:
        save(application)
        assert next(subscription).id == 1

        def child() -> list[int]:
            with application.recorder.subscribe() as own:
                seen = [next(own).id]
                save(application)
                return [*seen, next(own).id]

        assert in_forks([child]) == [[1, 2]]
        assert next(subscription).id == 2


def test_twenty_processes_come_up_on_an_empty_database(env: dict[str, str]) -> None:
    positions = in_processes([partial(come_up, env, barrier(20))] * 20)
    assert sorted(position or 0 for position in positions) == list(range(1, 21))


@pytest.mark.needs(Capability.NOTIFY)
def test_subscription_ends_while_a_child_lives(
    application: Application[UUID],
) -> None:
    """The child has copies of all that the parent has open."""
    may_end = forking.Event()
    child = forking.Process(target=may_end.wait, args=(30,))
    try:
        with application.recorder.subscribe() as subscription:
            save(application)
            assert next(subscription).id == 1
            (listening,) = listeners()
            child.start()
            closed = monotonic()
        assert monotonic() - closed < 0.5
        assert not listening.is_alive()
    finally:
        may_end.set()
        child.join()


def listeners() -> list[Thread]:
    return [each for each in enumerate_threads() if each.name.startswith("LISTEN")]
