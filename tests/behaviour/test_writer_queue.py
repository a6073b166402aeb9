"""Processes that write to a SQLite file take turns, in the order of their coming."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import DCBEvent
from eventsourcing.persistence import OperationalError, StoredEvent, Tracking
from sqlalchemy import make_url

from backends import Capability
from behaviour.workers import application_recorder, ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.dialects.sqlite import fork_guard, queue_file, queue_place
from eventsourcing_alchemy.dialects.sqlite.turn_end import TurnEnd
from eventsourcing_alchemy.dialects.sqlite.writer_queue import WriterQueue
from factories import OpenFactory, construct_factory
from faults.waiting import wait_until
from processes import barrier, clean, in_forks, in_processes

pytestmark = [pytest.mark.needs(Capability.FILE_LOCKS), pytest.mark.observed]

SOON = 30.0


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


@pytest.fixture
def database(env: dict[str, str]) -> str:
    return make_url(env["SQLALCHEMY_URL"]).database or ""


@contextmanager
def locked(database: str) -> Iterator[sqlite3.Connection]:
    """Somebody writes for long, who knows no queue."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE").close()
    try:
        yield connection
    finally:
        connection.rollback()
        connection.close()


@contextmanager
def queueing(
    database: str, number: int, call: Callable[..., object], *args: object
) -> Iterator[BaseProcess]:
    """A process that writes, and has the place of that number in the queue."""
    process = clean.Process(target=call, args=args)
    process.start()
    try:
        wait_for_place(database, number)
        yield process
    finally:
        process.kill()
        process.join()


def ended(process: BaseProcess) -> int | None:
    process.join(SOON)
    return process.exitcode


def wait_for_place(database: str, number: int) -> None:
    wait_until(lambda: is_taken(database, number), f"nobody came to place {number}")


def is_taken(database: str, number: int) -> bool:
    with suppress(FileNotFoundError), Path(database + "-queue").open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            return True
    return False


def append(env: Mapping[str, str], topic: str) -> None:
    with application_recorder(env) as recorder:
        recorder.insert_events([StoredEvent(uuid4(), 1, topic, b"")])


def append_in_transaction(env: Mapping[str, str], topic: str) -> None:
    with application_recorder(env) as recorder, recorder.transaction():
        recorder.insert_events([StoredEvent(uuid4(), 1, topic, b"")])


def append_with_tags(env: Mapping[str, str], _: str) -> None:
    factory = construct_factory("Application", env)
    factory.dcb_recorder().append([DCBEvent("type", b"", ["tag"])])
    factory.close()


def track(env: Mapping[str, str], topic: str) -> None:
    factory = construct_factory("Application", env)
    factory.tracking_recorder().insert_tracking(Tracking(topic, 1))
    factory.close()


OPERATIONS = [append, append_in_transaction, append_with_tags, track]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_writes_queues(
    env: dict[str, str],
    database: str,
    recorder: SQLAlchemyApplicationRecorder,
    operation: Callable[..., object],
) -> None:
    append(env, "the first one")
    with (
        locked(database) as connection,
        queueing(database, 0, operation, env, "topic") as process,
    ):
        connection.rollback()
        assert ended(process) == 0
    assert not is_taken(database, 0)
    assert recorder.insert_events(new_events())


def patiently(call: Callable[..., object], env: Mapping[str, str], topic: str) -> None:
    """Without a look for the case that the first one is stopped."""
    queue_place.PATIENCE = SOON
    call(env, topic)


def test_order_of_coming(
    env: dict[str, str], database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    with (
        locked(database) as connection,
        queueing(database, 0, patiently, append, env, "first") as first,
        queueing(
            database, 1, patiently, append_in_transaction, env, "second"
        ) as second,
        queueing(database, 2, patiently, append, env, "third") as third,
    ):
        connection.rollback()
        assert [ended(each) for each in (first, second, third)] == [0, 0, 0]
    found = recorder.select_notifications(1, 10)
    assert [each.topic for each in found] == ["first", "second", "third"]


def append_without_looking(env: Mapping[str, str], topic: str) -> None:
    queue_place.TURN = queue_place.REST = SOON
    append(env, topic)


@pytest.mark.skipif(sys.platform != "linux", reason="there is no abstract namespace")
def test_the_first_one_hears_that_a_turn_has_ended(
    env: dict[str, str], database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    with ExitStack() as stack:
        with recorder.transaction():
            recorder.insert_events(new_events())
            waiting = queueing(database, 0, append_without_looking, env, "waited")
            process = stack.enter_context(waiting)
        begun = monotonic()
        recorder.insert_events(new_events())
        assert ended(process) == 0
        assert monotonic() - begun < SOON / 3
    assert recorder.select_notifications(1, 10)[1].topic == "waited"


@pytest.mark.skipif(sys.platform != "linux", reason="there is no abstract namespace")
def test_only_one_hears_of_the_end_of_a_turn(tmp_path: Path) -> None:
    """The others look more often."""
    with (tmp_path / "queue").open("wb") as file:
        one, other = (TurnEnd(file.fileno()) for _ in range(2))
        with one.listening(), other.listening():
            one.listen()
            other.listen()
            other.announce()
            assert one.wait(SOON, otherwise=SOON)
            assert not one.wait(0.01, otherwise=SOON)
            assert not other.wait(SOON, otherwise=0.01)
        other.announce()


def test_who_is_killed_leaves_the_queue(
    env: dict[str, str], database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    with (
        locked(database) as connection,
        queueing(database, 0, append, env, "killed") as first,
        queueing(database, 1, append, env, "next") as second,
    ):
        first.kill()
        wait_for_place(database, 0)
        connection.rollback()
        assert ended(second) == 0
    assert [each.topic for each in recorder.select_notifications(1, 10)] == ["next"]


def test_who_is_stopped_holds_up_nobody(
    env: dict[str, str], database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    with locked(database) as connection, queueing(database, 0, append, env, "") as one:
        assert one.pid is not None
        os.kill(one.pid, signal.SIGSTOP)
        connection.rollback()
        begun = monotonic()
        recorder.insert_events(new_events())
        assert monotonic() - begun > queue_place.PATIENCE, "it did not queue"
        for _ in range(99):
            recorder.insert_events(new_events())
        assert monotonic() - begun < SOON / 3
        assert is_taken(database, 0)
        os.kill(one.pid, signal.SIGCONT)
        assert ended(one) == 0
    assert ids(recorder) == list(range(1, 102))


def test_waits_no_longer_than_it_should(
    open_factory: OpenFactory, database: str
) -> None:
    variables = {"SQLALCHEMY_LOCK_TIMEOUT": "0.5", "SQLALCHEMY_RETRY_TIMEOUT": "0"}
    recorder = open_factory(**variables).application_recorder()
    with locked(database):
        begun = monotonic()
        with pytest.raises(OperationalError, match="database is locked"):
            recorder.insert_events(new_events())
        assert 0.5 <= monotonic() - begun < 0.95
    assert in_processes([partial(is_taken, database, 0)]) == [False]
    assert recorder.insert_events(new_events()) == [1]


def test_child_of_one_who_has_queued(
    env: dict[str, str], database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    append(env, "the first one")
    with (
        locked(database) as connection,
        queueing(database, 0, append, env, "other") as process,
    ):
        connection.rollback()
        assert recorder.insert_events(new_events())
        assert ended(process) == 0

    def child() -> int:
        (position,) = recorder.insert_events(new_events()) or ()
        return position

    assert in_forks([child]) == [4]
    assert recorder.insert_events(new_events()) == [5]


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_leaves_who_waits_its_place(
    database: str,
    recorder: SQLAlchemyApplicationRecorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fork_guard, "PATIENCE", 0.1)
    # Elsewhere: to open the file here, and close it, would end the locks.
    has_place = [partial(is_taken, database, 0)]
    with ThreadPoolExecutor(1) as threads:
        with locked(database):
            running = threads.submit(recorder.insert_events, new_events())
            wait_until(lambda: in_processes(has_place) == [True], "nobody waits")
            assert in_forks([lambda: "born"]) == ["born"]
            assert in_processes(has_place) == [True]
        assert running.result() == [1]
    assert recorder.insert_events(new_events()) == [2]


def test_many_open_files(tmp_path: Path) -> None:
    """Some ways to wait take no number of a file above 1,023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(2_000, hard), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1_100):
            stack.enter_context(Path(os.devnull).open())
        file = stack.enter_context((tmp_path / "queue").open("wb"))
        turn_end = TurnEnd(file.fileno())
        with turn_end.listening():
            turn_end.listen()
            assert not turn_end.wait(0.01, otherwise=0.01)


def test_leaves_no_file_open(database: str) -> None:
    """Not even where a thread comes only after the end."""
    queue = WriterQueue(database)
    queue.end()
    tries = iter([False, False, True])
    queue.wait(lambda: next(tries), SOON)
    opened = {os.path.realpath(each) for each in Path("/proc/self/fd").glob("*")}
    assert os.path.realpath(database + "-queue") not in opened


def test_lets_in_who_may_write_to_the_database(
    database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    """Whatever the umask of the first one to come, and though that is root."""
    file = Path(database)
    file.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    before = os.umask(0o077)
    try:
        tries = iter([False, False, True])
        WriterQueue(database).wait(lambda: next(tries), SOON)
    finally:
        os.umask(before)
    made, expected = Path(database + "-queue").stat(), file.stat()
    assert (made.st_mode & 0o777, made.st_uid) == (0o664, expected.st_uid)
    assert recorder.insert_events(new_events())


@pytest.mark.parametrize("reason", ["there are no locks", "no file can be made"])
def test_without_a_queue(
    database: str,
    recorder: SQLAlchemyApplicationRecorder,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    reason: str,
) -> None:
    """SQLite itself waits."""
    if reason == "there are no locks":
        monkeypatch.setattr(queue_file, "fcntl", None)
    else:
        Path(database + "-queue").mkdir()
    with ThreadPoolExecutor(1) as threads:
        with locked(database):
            running = threads.submit(recorder.insert_events, new_events())
            assert not wait([running], timeout=0.2).done
        assert running.result() == [1]
    told = [each for each in caplog.messages if "queue of writers" in each]
    assert len(told) == (reason == "no file can be made")


@pytest.mark.parametrize("reason", ["its name", "a link", "a file of that size"])
def test_what_has_the_name_of_the_queue_is_left_alone(
    database: str,
    env: dict[str, str],
    recorder: SQLAlchemyApplicationRecorder,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    reason: str,
) -> None:
    """Such as the database of another application."""
    queue = Path(database + "-queue")
    other = tmp_path / "other" if reason == "a link" else queue
    if reason == "a file of that size":
        size = len(b"The processes that write to the database queue here.\n") + 8
        other.write_bytes(b"x" * size)
    else:
        append({**env, "SQLALCHEMY_URL": f"sqlite:///{other}"}, "theirs")
    if reason == "a link":
        queue.symlink_to(other)
    before = other.read_bytes()
    with ThreadPoolExecutor(1) as threads:
        with locked(database):
            running = threads.submit(recorder.insert_events, new_events())
            assert not wait([running], timeout=0.2).done
        assert running.result() == [1]
    assert other.read_bytes() == before
    (told,) = [each for each in caplog.messages if "queue of writers" in each]
    assert "is something else" in told
    assert "delete" not in told


def test_file_that_was_deleted(
    database: str, recorder: SQLAlchemyApplicationRecorder
) -> None:
    """It is made again, because others would queue elsewhere."""
    queue = Path(database + "-queue")
    with ThreadPoolExecutor(1) as threads:
        for _ in range(2):
            queue.unlink(missing_ok=True)
            with locked(database):
                running = threads.submit(recorder.insert_events, new_events())
                wait_until(queue.exists, "nobody made it")
            assert running.result()


def longest_wait(env: dict[str, str], start: Barrier) -> float:
    with application_recorder(env) as recorder:
        start.wait()
        end, waits = monotonic() + 2, []
        while (begun := monotonic()) < end:
            recorder.insert_events(new_events())
            waits.append(monotonic() - begun)
    assert len(waits) > 3
    return max(waits)


@pytest.mark.faults
def test_nobody_starves(
    env: dict[str, str], recorder: SQLAlchemyApplicationRecorder
) -> None:
    """SQLite by itself has some of them wait as long as they write."""
    writers = 8
    start = barrier(writers)
    waits = in_processes([partial(longest_wait, env, start)] * writers)
    assert max(waits) < 1
    last = recorder.max_notification_id() or 0
    with recorder.datastore.reading() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM es_events").scalar()
    assert count == last
