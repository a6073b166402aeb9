"""Real events."""

from collections.abc import Mapping
from itertools import chain
from time import perf_counter

from benchmarks.domain import Bank
from benchmarks.jobs import Job
from benchmarks.loans import loans
from benchmarks.measurements import reading
from benchmarks.workload import fill


def append(job: Job) -> Mapping[str, float]:
    """One loan application a transaction."""
    bank = Bank(env=job.environment)
    count, seconds = 0, 0.0
    for events in loans(job):
        begun = perf_counter()
        bank.recorder.insert_events(events)
        seconds += perf_counter() - begun
        count += len(events)
    return {"rate": count / seconds}


def fill_log(job: Job) -> Mapping[str, float]:
    """Fills the log that is read."""
    fill(Bank(env=job.environment), chain.from_iterable(loans(job)))
    return {}


def catch_up(job: Job) -> Mapping[str, float]:
    """A subscription, from the beginning to the end."""
    return reading.catch_up(job, Bank)
