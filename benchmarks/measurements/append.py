"""Appending, through the recorder of an application."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Barrier
from threading import Barrier as ThreadBarrier
from time import perf_counter
from typing import Any

from eventsourcing.persistence import ApplicationRecorder

from benchmarks.domain import Shop
from benchmarks.jobs import Job
from benchmarks.workload import batches, orders

WARM_UP = 50
"""Transactions before those that count; drivers prepare statements meanwhile."""

WRITERS = 8
"""Threads, or processes, that append at the same time."""

PATIENCE = 120
"""Seconds after which a process counts as dead."""


def append(job: Job, *, batch: int) -> Mapping[str, float]:
    """One writer; the time is that inside of the recorder."""
    shop = Shop(env=job.environment)
    stream = batches(orders(0), batch)
    for _ in range(WARM_UP):
        shop.recorder.insert_events(next(stream))
    count, seconds = 0, 0.0
    while seconds < job.sizes.seconds:
        events = next(stream)
        begun = perf_counter()
        shop.recorder.insert_events(events)
        seconds += perf_counter() - begun
        count += batch
    return {"rate": count / seconds}


append_1 = partial(append, batch=1)
append_100 = partial(append, batch=100)


def append_threads(job: Job) -> Mapping[str, float]:
    """Threads that share a recorder."""
    shop = Shop(env=job.environment)
    barrier = ThreadBarrier(WRITERS)
    write = partial(_write, shop.recorder, job.sizes.seconds, barrier.wait)
    with ThreadPoolExecutor(WRITERS) as pool:
        return {"rate": sum(pool.map(write, range(WRITERS)))}


def append_processes(job: Job) -> Mapping[str, float]:
    """Processes, each with a recorder of its own."""
    return {"rate": in_processes(job, Shop, _write)}


Write = Callable[[Any, float, Callable[[], object], int], float]
"""Appends to a recorder for some seconds, after a wait for the others; is told which of
them it is; returns the rate."""


def in_processes(job: Job, application: type[Any], write: Write) -> float:
    """The rate of processes together, each with a recorder of its own.

    Args:
        job: says where.
        application: a class of the host's.
        write: a function of a module.
    """
    # Not all contestants can create the tables at the same time.
    application(env=job.environment).close()
    environment = {**job.environment, "CREATE_TABLE": "no"}
    job = replace(job, environment=environment)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(WRITERS, timeout=PATIENCE)
    results = context.Queue()
    arguments = job, application, write, barrier, results
    processes = [
        context.Process(target=_process, args=(*arguments, seed), daemon=True)
        for seed in range(WRITERS)
    ]
    for each in processes:
        each.start()
    rate: float = sum(results.get(timeout=PATIENCE) for _ in processes)
    for each in processes:
        each.join()
    return rate


def _process(
    job: Job,
    application: type[Any],
    write: Write,
    barrier: Barrier,
    results: Any,
    seed: int,
) -> None:
    running = application(env=job.environment)
    results.put(write(running.recorder, job.sizes.seconds, barrier.wait, seed))
    running.close()


def _write(
    recorder: ApplicationRecorder,
    seconds: float,
    wait_for_others: Callable[[], object],
    seed: int,
) -> float:
    """The rate of one of several writers, all of which go on for the same time."""
    stream = batches(orders(seed), 1)
    for _ in range(WARM_UP):
        recorder.insert_events(next(stream))
    wait_for_others()
    begun = perf_counter()
    count = 0
    while perf_counter() < begun + seconds:
        recorder.insert_events(next(stream))
        count += 1
    return count / (perf_counter() - begun)
