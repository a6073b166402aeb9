"""Writers and runners that are killed: nothing acknowledged is lost, nothing twice."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from random import SystemRandom
from uuid import UUID

import pytest

from backends import Capability
from faults.chain import Linkable, Links, TaggedLinks, check, running
from faults.journal import Journal
from faults.report import inject
from faults.workers import Work, run, torment, write
from processes import in_processes

pytestmark = pytest.mark.needs(Capability.SHARED)

KILLS = int(os.environ.get("TEST_KILLS", "100"))
"""How many processes are killed on each database."""

SEED = int(os.environ.get("TEST_SEED", SystemRandom().randrange(10**6)))

SHORT, LONG = 0.25, 0.8
"""Seconds that a process works at the most; a lease expires meanwhile, or not."""

LARGEST = 3
LEASE_DURATION = 0.5


@pytest.mark.parametrize("application_class", [Links, TaggedLinks])
def test_killed_at_random_moments(
    env: dict[str, str], tmp_path: Path, application_class: Linkable
) -> None:
    """At the end, the view is what a fresh replay makes of contiguous positions.

    Runners compete with each other, those with a lease and those without.
    """
    print(f"TEST_SEED={SEED}")
    with running(env, application_class=application_class):  # Creates the tables.
        pass
    acknowledged, attempts = Journal(tmp_path / "acks"), Journal(tmp_path / "attempts")
    writer = partial(write, env, acknowledged, LARGEST, application_class)
    runner = partial(run, env, attempts, None, application_class)
    runner_with_lease = partial(run, env, attempts, LEASE_DURATION, application_class)
    share = KILLS // 10
    storm(
        ("writer", writer, 3 * share, SHORT),
        ("writer", writer, 3 * share, SHORT),
        ("runner", runner, 3 * share, SHORT),
        ("runner with lease", runner_with_lease, share, LONG),
    )
    for journal in acknowledged, attempts:
        at_work = {pid for pid, *_ in journal}
        assert len(at_work) > share, f"hardly anybody got at work: {journal.path.name}"
    positions = {UUID(link): int(position) for _, link, position in acknowledged}
    check(
        env,
        positions,
        unanswered=6 * share * LARGEST,
        application_class=application_class,
    )


def storm(*roles: tuple[str, Work, int, float]) -> None:
    """Kill, at the same time, processes of each role: how many, and how long-lived."""
    calls = [
        partial(torment, call, times, longest, SEED + number)
        for number, (_, call, times, longest) in enumerate(roles)
    ]
    killed = in_processes(calls, timeout=60 + KILLS)
    for (role, *_), times in zip(roles, killed, strict=True):
        for _ in range(times):
            inject(f"{role} process killed")
