"""The memory of a process that follows, above what it needs when idle."""

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from eventsourcing.application import Application

from benchmarks.domain import Shop
from benchmarks.peers.ours import BatchRunner, EventCounts
from benchmarks.projections import EventCounting
from benchmarks.scale.domain import Archive, attachments
from benchmarks.scale.findings import Figure, Findings

PART = "memory"
LIMIT = 60.0
LIMIT_OF_LARGE = 150.0
"""Megabytes (of 1,000,000 bytes)."""

ATTACHMENTS = 300
PATIENCE = 1_800
"""Seconds."""

_MB = 1_000_000


def fill(_: str, environment: dict[str, str], __: int) -> Findings:
    """Stores large events."""
    with Archive(env=environment) as archive:
        for each in attachments(ATTACHMENTS):
            archive.save(each)
    return Findings()


def follow(kind: str, environment: dict[str, str], events: int) -> Findings:
    """A subscription to the log."""
    what = partial(_follow, Shop, environment)
    return _measured(kind, f"subscription, {events:,} events", LIMIT, what)


def follow_large(kind: str, environment: dict[str, str], _: int) -> Findings:
    """A subscription to large events."""
    what = partial(_follow, Archive, environment)
    name = f"subscription, {ATTACHMENTS} events of 1 MB"
    return _measured(kind, name, LIMIT_OF_LARGE, what)


def project(kind: str, environment: dict[str, str], events: int) -> Findings:
    """A runner, in batches, over the log."""
    what = partial(_project, Shop, environment)
    return _measured(kind, f"runner, {events:,} events", LIMIT, what)


def project_large(kind: str, environment: dict[str, str], _: int) -> Findings:
    """A runner, in batches, over large events."""
    what = partial(_project, Archive, environment)
    name = f"runner, {ATTACHMENTS} events of 1 MB"
    return _measured(kind, name, LIMIT_OF_LARGE, what)


Work = Callable[[], Callable[[], None]]
"""Opens a recorder, and returns what to do with it."""


def _follow(application: type[Application[Any]], environment: Any) -> Any:
    opened = application(env=environment)
    last = opened.recorder.max_notification_id() or 0

    def all_of_it() -> None:
        with opened.recorder.subscribe() as subscription:
            for notification in subscription:
                if notification.id >= last:
                    break

    return all_of_it


def _project(application: type[Application[Any]], environment: Any) -> Any:
    opened = application(env=environment)
    last = opened.recorder.max_notification_id() or 0

    class Counting(EventCounting):
        """Apart from those of other applications."""

        name = f"counts_{application.__name__.lower()}"

    def all_of_it() -> None:
        with BatchRunner(
            application_class=application,
            projection_class=Counting,
            view_class=EventCounts,
            env=environment,
        ) as runner:
            runner.wait(last, timeout=PATIENCE)
        opened.close()

    return all_of_it


def _measured(kind: str, name: str, limit: float, open_recorder: Work) -> Findings:
    work = open_recorder()
    gc.collect()
    # From here on, the peak is that of what follows.
    Path("/proc/self/clear_refs").write_text("5")
    idle = memory("VmRSS")
    work()
    peak = memory("VmHWM")
    return Findings(
        [
            Figure(
                PART, kind, f"{name}: peak above idle", peak - idle, "MB", None, limit
            ),
            Figure(PART, kind, f"{name}: idle", idle, "MB"),
        ]
    )


def trace(kind: str, environment: dict[str, str], events: int) -> Findings:
    """What subscriptions allocate in Python, which makes them slow."""
    found = Findings()
    for name, application in (
        (f"subscription, {events:,} events", Shop),
        (f"subscription, {ATTACHMENTS} events of 1 MB", Archive),
    ):
        work = _follow(application, environment)
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1] / _MB
        tracemalloc.stop()
        title = f"{name}: peak of Python's allocations"
        found.figures.append(Figure(PART, kind, title, peak, "MB"))
    return found


def memory(key: str) -> float:
    """Megabytes that this process has.

    Args:
        key: `VmRSS` for now, `VmHWM` for the peak.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024 / _MB
    raise LookupError(key)
