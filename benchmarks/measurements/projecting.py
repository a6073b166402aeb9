"""Projecting events into a view that counts them."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from time import perf_counter, sleep
from typing import Any

from eventsourcing.application import Application
from eventsourcing.persistence import StoredEvent, Tracking
from eventsourcing.projection import ProjectionRunner

from benchmarks.bare import connect
from benchmarks.domain import Bank, Shop
from benchmarks.jobs import Job
from benchmarks.loans import loans
from benchmarks.peers import TABLE, peer, view_of
from benchmarks.projections import EventCounting
from benchmarks.workload import fill, orders

PATIENCE = 600
"""Seconds after which a projection is given up."""

POLL = 0.005
"""Seconds between two looks at the view."""


class _Timed(EventCounting):
    begun = 0.0

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        # When the first event has come, which is after everything has started.
        _Timed.begun = _Timed.begun or perf_counter()
        super().process_event(domain_event, tracking)


def project(job: Job, *, form: str = "single") -> Mapping[str, float]:
    """The host's runner, one event after the other."""
    events = islice(orders(0), job.sizes.projected)
    return _project(job, Shop, ProjectionRunner, events, form)


def project_in_batches(job: Job, *, form: str = "single") -> Mapping[str, float]:
    """The fastest runner that there is."""
    runner = peer(job.environment["PERSISTENCE_MODULE"]).BatchRunner
    count = job.sizes.mapped if form == "orm" else job.sizes.batched
    if runner is ProjectionRunner:
        count = job.sizes.projected
    return _project(job, Shop, runner, islice(orders(0), count), form)


project_inline = partial(project, form="inline")
project_declared = partial(project, form="declared")
project_orm = partial(project, form="orm")
batches_inline = partial(project_in_batches, form="inline")
batches_declared = partial(project_in_batches, form="declared")
batches_orm = partial(project_in_batches, form="orm")


def project_loans(job: Job) -> Mapping[str, float]:
    """The fastest runner that there is, with real events."""
    runner = peer(job.environment["PERSISTENCE_MODULE"]).BatchRunner
    events: Iterator[StoredEvent] = chain.from_iterable(loans(job))
    if runner is ProjectionRunner:
        events = islice(events, job.sizes.projected)
    return _project(job, Bank, runner, events)


def _project(
    job: Job,
    application: type[Application[Any]],
    runner: Any,
    events: Iterable[StoredEvent],
    form: str = "single",
) -> Mapping[str, float]:
    count = fill(application(env=job.environment), events)
    construct = partial(
        runner,
        application_class=application,
        projection_class=_Timed,
        view_class=view_of(job.environment["PERSISTENCE_MODULE"], form),
        env=job.environment,
    )
    with construct() as running:
        looks = Looks(job)
        deadline = perf_counter() + PATIENCE
        while looks.total() < count:
            if perf_counter() > deadline or running.is_interrupted.is_set():
                running.run_forever(0)
                raise TimeoutError("The projection has come to a halt")
            sleep(POLL)
        seconds = perf_counter() - _Timed.begun
    return {"rate": count / seconds}


class Looks:
    """Looks at a view, past everything that anybody does in Python."""

    _query = f"SELECT SUM(value) FROM {TABLE}"  # noqa: S608

    def __init__(self, job: Job) -> None:
        self._cursor = connect(job).cursor()

    def total(self) -> int:
        """The number of events that are counted."""
        self._cursor.execute(self._query)
        return int(self._cursor.fetchone()[0] or 0)
