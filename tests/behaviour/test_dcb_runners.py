"""Our runner, where it follows events with tags."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import Any, ClassVar

import pytest
from eventsourcing.dcb.application import DCBApplication
from eventsourcing.dcb.domain import Tagged
from eventsourcing.dcb.msgpack import Decision
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from eventsourcing.tests.projection import Thing
from eventsourcing.utils import get_topic
from sqlalchemy import func, make_url, select

from backends import Backend, Capability
from behaviour.workers import DeliberateError
from eventcounters import EventCounters
from eventsourcing_alchemy import (
    DeadLetters,
    PoisonPolicy,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.runners import history

Runner = SQLAlchemyProjectionRunner[Any, Any]
Run = Callable[..., Runner]

MAPPER = {"MAPPER_TOPIC": "eventsourcing.dcb.msgpack:MessagePackMapper"}


class Numbered(Decision):
    number: int


class Counts(Projection[EventCounters]):
    name = "counts"
    fails: ClassVar[bool] = False

    def process_event(self, tagged: Tagged[Decision], tracking: Tracking) -> None:
        is_odd = isinstance(tagged.decision, Numbered) and tagged.decision.number % 2
        if is_odd and self.fails:
            raise DeliberateError
        self.view.incr_subsequent_event_counter(tracking)


@pytest.mark.parametrize("batch_size", [1, 500])
def test_dead_letters_are_retried(
    env: dict[str, str], batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counts, "fails", True)
    with SQLAlchemyProjectionRunner(
        application_class=DCBApplication,
        projection_class=Counts,
        view_class=EventCounters,
        env={**env, **MAPPER},
        poison=PoisonPolicy(dead_letter=True),
        batch_size=batch_size,
    ) as runner:
        numbered = Thing()
        for number in range(8):
            numbered.trigger_event(Numbered, number=number)
        position = runner.app.repository.save(numbered)
        view = runner.projection.view
        view.wait(runner.app.name, position, timeout=20)
        letters = DeadLetters(view)
        assert [each.notification_id for each in letters.select()] == [3, 5, 7, 9]
        assert {each.originator_id for each in letters.select()} == {None}
        assert view.get_subsequent_event_counter() == 5
        monkeypatch.setattr(Counts, "fails", False)
        for letter in letters.select():
            letters.retry(letter, runner.app, runner.projection)
        assert view.get_subsequent_event_counter() == 9
        assert letters.select() == []


def save_numbers(app: DCBApplication, count: int) -> int:
    """Events 1 to `count`, of which the first creates the thing; the last position."""
    numbered = Thing()
    for number in range(count):
        numbered.trigger_event(Numbered, number=number)
    return app.repository.save(numbered)


@pytest.fixture
def construct(env: dict[str, str]) -> Run:
    """Constructs a runner, which `with` ends."""
    return lambda **arguments: SQLAlchemyProjectionRunner(
        application_class=DCBApplication,
        projection_class=Counts,
        view_class=EventCounters,
        env={**env, **MAPPER},
        **arguments,
    )


@pytest.fixture
def run(construct: Run) -> Iterator[Run]:
    """Constructs a runner, which ends after the test."""
    with ExitStack() as stack:
        yield lambda **arguments: stack.enter_context(construct(**arguments))


@pytest.fixture(params=[1, 500])
def batch_size(request: pytest.FixtureRequest) -> int:
    size: int = request.param
    return size


def test_health_tells_position_and_lag(run: Run, batch_size: int) -> None:
    runner = run(batch_size=batch_size)
    last = save_numbers(runner.app, 5)
    runner.wait(last, timeout=20)
    health = runner.health()
    assert (health.position, health.lag) == (last, 0)


def test_poison_stops_the_runner(
    run: Run, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After all that precedes it is processed, and nothing else."""
    monkeypatch.setattr(Counts, "fails", True)
    runner = run(batch_size=batch_size)
    save_numbers(runner.app, 5)
    with pytest.raises(DeliberateError):
        runner.run_forever(timeout=20)
    assert runner.health().position == 2


@pytest.mark.needs(Capability.SHARED)
def test_copies_share_a_lease(run: Run) -> None:
    copies = [run(lease_duration=2.0) for _ in range(2)]
    last = save_numbers(copies[0].app, 20)
    for each in copies:
        each.wait(last, timeout=20)
    assert copies[0].projection.view.get_subsequent_event_counter() == 21


def test_position_moves_past_other_topics(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counts, "fails", False)
    monkeypatch.setattr(Counts, "topics", (get_topic(Thing.Created),))
    runner = run()
    last = save_numbers(runner.app, 5)
    runner.wait(last, timeout=20)
    assert runner.projection.view.get_subsequent_event_counter() == 1


CREATED, NUMBERED = get_topic(Thing.Created), get_topic(Numbered)
OTHER = "somewhere:Else"

TOPICS = {(): 6, (NUMBERED,): 5, (CREATED, OTHER): 1, (CREATED, NUMBERED, OTHER): 6}
"""Topics of a projection, and how many of the events have one of them."""


@pytest.fixture(params=TOPICS)
def topics(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, ...]:
    """Those of the projection: none, one, several."""
    monkeypatch.setattr(Counts, "topics", request.param)
    topics: tuple[str, ...] = request.param
    return topics


def assert_follows(runner: Runner, topics: tuple[str, ...]) -> None:
    """The events that have one of the topics, and the position of the last of these."""
    view = runner.projection.view
    for times in (1, 2):
        last = save_numbers(runner.app, 5)
        if topics == (CREATED, OTHER):
            last -= 5  # The last one of them is the first one that is saved.
        runner.wait(last, timeout=20)
        assert view.get_subsequent_event_counter() == times * TOPICS[topics]
    assert runner.health().position == last


def test_follows_an_application_in_memory(
    run: Run, env: dict[str, str], topics: tuple[str, ...]
) -> None:
    """Of another persistence module, whose subscriptions can only go forward."""
    env["DCBAPPLICATION_PERSISTENCE_MODULE"] = "eventsourcing.dcb.popo"
    assert_follows(run(), topics)


@pytest.fixture
def tables_of_the_librarys(env: dict[str, str], backend: Backend) -> None:
    """The application stores its events there. Its recorder refuses many queries."""
    url = make_url(backend.url)
    env.update(
        DCBAPPLICATION_PERSISTENCE_MODULE="eventsourcing.dcb.postgres_tt",
        POSTGRES_DBNAME=url.database or "",
        POSTGRES_HOST=url.host or "",
        POSTGRES_PORT=str(url.port or 5432),
        POSTGRES_USER=url.username or "",
        POSTGRES_PASSWORD=url.password or "",
    )


@contextmanager
def announced_again(runner: Runner) -> Iterator[None]:
    """The library's subscription misses what is announced before it listens."""
    announcement = select(func.pg_notify(runner.app.recorder.channel_name, ""))
    over = Event()

    def announce() -> None:
        while not over.wait(0.1):
            with runner.projection.view.datastore.transaction() as connection:
                connection.execute(announcement)

    with ThreadPoolExecutor(1) as threads:
        announcing = threads.submit(announce)
        try:
            yield
        finally:
            over.set()
        announcing.result(20)


@pytest.mark.needs(Capability.NOTIFY)
@pytest.mark.usefixtures("tables_of_the_librarys")
def test_follows_an_application_in_tables_of_the_librarys(
    run: Run, topics: tuple[str, ...]
) -> None:
    runner = run()
    with announced_again(runner):
        assert_follows(runner, topics)


@pytest.mark.needs(Capability.NOTIFY)
@pytest.mark.usefixtures("tables_of_the_librarys")
def test_a_rebuild_reads_tables_of_the_librarys(
    run: Run, topics: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The events that have one of the topics, whichever its recorder can look for."""
    monkeypatch.setattr(history, "PAGE", 2)
    application = run().app
    last = [save_numbers(application, 5) for _ in range(2)][-1]
    read = history.reader_of(application, topics)
    found = [*read(0, last)]
    while page := read(found[-1].id, last):
        found += page
    assert len({each.id for each in found}) == len(found) == 2 * TOPICS[topics]
    stop = found[-1].id - 1
    assert all(each.id <= stop for each in read(0, stop))
    assert read(stop, stop) == []


@pytest.mark.needs(Capability.NOTIFY)
@pytest.mark.usefixtures("tables_of_the_librarys")
def test_goes_on_in_tables_of_the_librarys(
    construct: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what was processed before, with topics that its recorder refuses."""
    monkeypatch.setattr(Counts, "topics", (CREATED, NUMBERED))
    for times in (1, 2):
        with construct() as runner, announced_again(runner):
            last = save_numbers(runner.app, 5)
            runner.wait(last, timeout=20)
            assert runner.projection.view.get_subsequent_event_counter() == 6 * times
