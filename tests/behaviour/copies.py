"""Copies of a projection, in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier

from eventsourcing_alchemy.runners.lease import Lease
from factories import construct_factory


@contextmanager
def lease(env: Mapping[str, str], duration: float) -> Iterator[Lease]:
    """The lease, for a process without fixtures."""
    factory = construct_factory("Projection", env)
    try:
        factory.tracking_recorder()
        yield Lease(factory.datastore, "Projection", "Application", duration=duration)
    finally:
        factory.close()


def acquire(env: Mapping[str, str], start: Barrier) -> list[bool]:
    """Try for the lease, at the same moment as others, and never let it go."""
    with lease(env, duration=600) as mine:
        start.wait()
        return [mine.acquire() for _ in range(3)]


def acquire_and_die(env: Mapping[str, str], duration: float) -> bool:
    """Take the lease, and end without a word about it."""
    with lease(env, duration) as mine:
        return mine.acquire()
