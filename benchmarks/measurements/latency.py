"""How soon what is saved can be seen in a view."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from multiprocessing.synchronize import Event
from time import perf_counter, sleep
from typing import Any

from eventsourcing.projection import ProjectionRunner

from benchmarks.domain import Order, Shop, add_item, new_order
from benchmarks.follower import Follower
from benchmarks.jobs import Job
from benchmarks.measurements.projecting import Looks
from benchmarks.peers import peer, view_of
from benchmarks.projections import EventCounting
from benchmarks.workload import LIFE

PAUSE = 0.003
"""Seconds between a sample and the next one, in which everything comes to rest."""

LOOK = 0.00005
"""Seconds between two looks at the view, in which other threads can run."""

WARM_UP = 20
"""Samples before those that count."""

PATIENCE = 10.0
"""Seconds after which an event counts as lost."""


def visible(job: Job) -> Mapping[str, float]:
    """From the call of `save()` until a query of the view finds it."""
    with _runner(job) as runner:
        return _until_visible(job, runner.app)


def visible_declared(job: Job) -> Mapping[str, float]:
    """The same, where the view has a block."""
    with _runner(job, form="declared") as runner:
        return _until_visible(job, runner.app)


def visible_standard(job: Job) -> Mapping[str, float]:
    """The same, with the host's runner."""
    with _runner(job, ProjectionRunner) as runner:
        return _until_visible(job, runner.app)


def visible_elsewhere(job: Job) -> Mapping[str, float]:
    """The same, where another process runs the projection."""
    with _runner_elsewhere(job):
        return _until_visible(job, Shop(env=job.environment))


def waited(job: Job) -> Mapping[str, float]:
    """From the call of `save()` until `runner.wait()` returns."""
    with _runner(job) as runner:

        def sample(order: Order) -> None:
            saved = runner.app.save(order)
            runner.wait(saved[-1].notification.id, timeout=PATIENCE)

        return _percentiles(job, sample)


def _until_visible(job: Job, app: Shop) -> Mapping[str, float]:
    looks = Looks(job)
    total = looks.total()

    def sample(order: Order) -> None:
        nonlocal total
        app.save(order)
        total += 1
        deadline = perf_counter() + PATIENCE
        while looks.total() < total:
            if perf_counter() > deadline:
                raise TimeoutError("An event never came into the view")
            sleep(LOOK)

    return _percentiles(job, sample)


def _changed() -> Iterator[Order]:
    """Orders with one event to be saved."""
    number = 0
    while True:
        order = new_order(number)
        for _ in range(LIFE):
            yield order
            number += 1
            add_item(order, number)


def _percentiles(job: Job, sample: Callable[[Order], None]) -> Mapping[str, float]:
    """Of the milliseconds that samples take."""
    changed = _changed()
    for order in islice(changed, WARM_UP):
        sample(order)
    taken: list[float] = []
    # A slow one gets fewer samples, so that all are done in a similar time.
    deadline = perf_counter() + 5 * job.sizes.seconds
    while len(taken) < job.sizes.samples and perf_counter() < deadline:
        sleep(PAUSE)
        order = next(changed)
        begun = perf_counter()
        sample(order)
        taken.append(1000 * (perf_counter() - begun))
    taken.sort()
    return {"p50": taken[len(taken) // 2], "p99": taken[int(0.99 * len(taken))]}


def _runner(
    job: Job, runner_class: Any = None, form: str = "single"
) -> AbstractContextManager[Any]:
    module = job.environment["PERSISTENCE_MODULE"]
    has_subscriptions = module == "eventsourcing_alchemy" or job.database != "sqlite"
    if not has_subscriptions:
        runner_class = Follower
    runner_class = runner_class or peer(module).BatchRunner
    runner: AbstractContextManager[Any] = runner_class(
        application_class=Shop,
        projection_class=EventCounting,
        view_class=view_of(module, form),
        env=job.environment,
    )
    return runner


@contextmanager
def _runner_elsewhere(job: Job) -> Iterator[None]:
    context = multiprocessing.get_context("spawn")
    is_running, is_over = context.Event(), context.Event()
    process = context.Process(target=_run, args=(job, is_running, is_over))
    process.start()
    try:
        if not is_running.wait(60):
            raise TimeoutError("The other process has not started")
        yield
    finally:
        is_over.set()
        process.join()


def _run(job: Job, is_running: Event, is_over: Event) -> None:
    with _runner(job):
        sleep(0.2)  # Some listen only some time after they were constructed.
        is_running.set()
        is_over.wait()
