"""Copies of a runner in processes of their own: each event is processed once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from threading import Event
from time import monotonic
from uuid import UUID

import pytest

from backends import Capability
from factories import OpenFactory
from faults.chain import Chain, Linking, Links, check
from faults.journal import Journal
from faults.report import inject, recovered
from faults.waiting import wait_until
from faults.workers import Victim, run
from processes import PRELOADED, clean

pytestmark = pytest.mark.needs(Capability.SHARED)

COPIES = 4
LEASE_DURATION = 2.0
"""Seconds. The longer, the longer may a busy machine stop a process."""

PAUSE = 0.01
"""Seconds between two events: the copies have to keep up."""


@pytest.fixture
def view(open_factory: OpenFactory) -> Chain:
    """What they make."""
    return open_factory(Linking.name).tracking_recorder(Chain)


@pytest.fixture
def links(env: dict[str, str], view: Chain) -> Iterator[Links]:  # noqa: ARG001
    with Links(env) as links:
        yield links


@pytest.fixture
def attempts(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "attempts")


@contextmanager
def copies(
    env: dict[str, str], attempts: Journal, lease_duration: float | None = None
) -> Iterator[dict[int, Victim]]:
    """Copies at work, by process; those that are still there end with the block."""
    clean.set_forkserver_preload(PRELOADED)
    victims: dict[int, Victim] = {}
    try:
        for _ in range(COPIES):
            victim = Victim(partial(run, env, attempts, lease_duration, Links), clean)
            victims[victim.pid] = victim
        for victim in victims.values():
            victim.wait_until_at_work()
        yield victims
    finally:
        for victim in victims.values():
            victim.stop()
        for victim in victims.values():
            victim.close()


@contextmanager
def adding(links: Links) -> Iterator[dict[UUID, int]]:
    """Add links for the time of the block; those that were acknowledged."""
    acknowledged: dict[UUID, int] = {}
    is_over = Event()

    def add() -> None:
        while not is_over.wait(PAUSE):
            acknowledged.update(links.add())

    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(add)
        try:
            yield acknowledged
        finally:
            is_over.set()
        future.result()


def test_without_lease(
    env: dict[str, str], links: Links, view: Chain, attempts: Journal
) -> None:
    """They compete for each event, also while one is killed and one stops."""
    with copies(env, attempts) as victims, adding(links) as acknowledged:
        view.wait(Links.name, 20, timeout=30)
        victims.popitem()[1].kill()
        inject("runner process killed")
        victims.popitem()[1].close()
        view.wait(Links.name, max(acknowledged.values()) + 20, timeout=30)
    check(env, acknowledged)
    assert len(list(attempts)) > len(acknowledged), "they do not compete"


def test_with_lease(
    env: dict[str, str], links: Links, view: Chain, attempts: Journal
) -> None:
    """One works at a time; another goes on when it dies, and at once when it stops."""
    holders: list[int] = []

    def holder() -> int:
        view.wait(Links.name, max(acknowledged.values(), default=0) + 10, timeout=30)
        holders.append(view.processes()[-1])
        return holders[-1]

    def goes_on(kind: str) -> float:
        start = monotonic()
        wait_until(lambda: view.processes()[-1] != holders[-1], f"{kind}: the end")
        recovered(f"runner with lease {kind}", monotonic() - start)
        return monotonic() - start

    with copies(env, attempts, LEASE_DURATION) as victims:
        with adding(links) as acknowledged:
            stopped = victims.pop(holder())
            stopped.stop()
            assert goes_on("stopped") < 1
            stopped.close()
            victims.pop(holder()).kill()
            inject("runner with lease process killed")
            assert goes_on("process killed") < LEASE_DURATION + 1
        view.wait(Links.name, len(acknowledged), timeout=30)
        holders.append(view.processes()[-1])
    check(env, acknowledged)
    # None of the others has even tried, and only what was in progress was tried again.
    assert [process for process, _ in groupby(view.processes())] == holders
    assert {int(pid) for pid, _ in attempts} == set(holders)
    tried: dict[int, list[int]] = {}
    for pid, position in attempts:
        tried.setdefault(int(position), []).append(int(pid))
    again = [pids for pids in tried.values() if len(pids) > 1]
    assert all(pids == holders[1:3] for pids in again)
