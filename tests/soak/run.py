"""One soak on one database."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic, sleep

from factories import construct_factory
from faults import report
from positions import Positions
from soak.bank import Bank
from soak.crew import Crew, Post
from soak.databases import ANSWER_TIMEOUT, LOCK_TIMEOUT, Database, Fault
from soak.gauge import WRITERS, Gauge
from soak.projections import RUNNERS
from soak.totals import Totals
from soak.verdict import Finding, Judge
from soak.work import Entry, Journal, project, write

WRITER = "writer"

HOW_MANY = 3
"""Writers."""

COPIES = 2
"""Of each projection."""

PATIENCE = 60.0
"""Seconds in which everything has to move after a fault."""

MOST_MEMORY = 300
"""MiB of a process."""

LOOK_AGAIN = 0.1


class Run:
    """Writes, projects, breaks, and judges.

    Args:
        database: to do it on.
        events: number of them.
        seed: of the faults.
    """

    def __init__(self, database: Database, events: int, seed: int) -> None:
        self._database = database
        self._events = events
        self._random = Random(seed)  # noqa: S311 (not for secrets)
        self._started = monotonic()
        self._told = self._started
        self._stuck: list[str] = []

    def findings(self) -> list[Finding]:
        """Do it, and say what came of it."""
        with tempfile.TemporaryDirectory() as folder, self._database as database:
            journals = [Journal(Path(folder) / f"{each}") for each in range(HOW_MANY)]
            self._create_tables()
            with Crew(self._posts(journals)) as crew:
                self._soak(crew)
            took = monotonic() - self._started
            acknowledged = [entry for journal in journals for entry in journal]
            judge = Judge(self._env(database.url), acknowledged)
            return [*judge.findings(), *self._of_run(crew, acknowledged, took)]

    def _env(self, url: str) -> Mapping[str, str]:
        return {
            "PERSISTENCE_MODULE": "eventsourcing_alchemy",
            "SQLALCHEMY_URL": url,
            "SQLALCHEMY_LOCK_TIMEOUT": str(LOCK_TIMEOUT),
            "SQLALCHEMY_ANSWER_TIMEOUT": str(ANSWER_TIMEOUT),
        }

    def _create_tables(self) -> None:
        env = self._env(self._database.url)
        with closing(construct_factory(Bank.name, env)) as factory:
            factory.application_recorder()
            factory.tracking_recorder(Totals)
            factory.tracking_recorder(Positions)

    def _posts(self, journals: list[Journal]) -> Iterator[Post]:
        envs = [self._env(url) for url in self._database.urls]
        quota = -(-self._events // len(journals))
        for number, journal in enumerate(journals):
            env, seed = envs[number % len(envs)], self._random.randrange(10**6)
            yield Post(WRITER, partial(write, env, journal, quota, seed))
        for number, name in enumerate(RUNNERS):
            for copy in range(COPIES):
                env = envs[(number + copy) % len(envs)]
                yield Post(f"copy of {name}", partial(project, name, env))

    def _soak(self, crew: Crew) -> None:
        faults: dict[str, Fault] = {
            **self._database.faults,
            **{f"{kind} killed": partial(crew.kill, kind) for kind in crew.kinds},
        }
        with closing(Gauge(self._database.url)) as gauge:

            def is_done() -> bool:
                return crew.have_done(WRITER) and not gauge.behind()

            while not self._stuck:
                pause = monotonic() + self._random.uniform(0.2, 2)
                self._wait(crew, gauge, lambda: is_done() or monotonic() > pause)  # noqa: B023
                if is_done():
                    break
                kind = self._random.choice(sorted(faults))
                faults[kind](self._random)
                self._recover(kind, crew, gauge)

    def _recover(self, kind: str, crew: Crew, gauge: Gauge) -> None:
        """Wait until all who have work go on."""
        start, before = monotonic(), gauge.look()
        waiting = gauge.behind() | {WRITERS}

        def have_moved() -> bool:
            if crew.have_done(WRITER):
                waiting.discard(WRITERS)
            return all(gauge.positions[name] > before[name] for name in waiting)

        if self._wait(crew, gauge, have_moved):
            report.recovered(kind, monotonic() - start)
        else:
            self._stuck.append(f"{', '.join(sorted(waiting))} after {kind}")

    def _wait(self, crew: Crew, gauge: Gauge, condition: Callable[[], bool]) -> bool:
        deadline = monotonic() + PATIENCE
        while monotonic() < deadline:
            crew.tend()
            gauge.look()
            self._tell(gauge)
            if condition():
                return True
            sleep(LOOK_AGAIN)
        return False

    def _tell(self, gauge: Gauge) -> None:
        now, is_live = monotonic(), sys.stdout.isatty()
        if now < self._told + (0.5 if is_live else 10):
            return
        self._told = now
        positions = ", ".join(f"{name} {at}" for name, at in gauge.positions.items())
        faults = sum(report.injected.values())
        line = f"{now - self._started:5.0f} s: {positions}; {faults} faults"
        print(f"\r{line:<110}", end="" if is_live else "\n", flush=True)

    def _of_run(
        self, crew: Crew, acknowledged: list[Entry], took: float
    ) -> Iterator[Finding]:
        stuck = ", ".join(self._stuck) or "nobody"
        yield Finding("stuck", stuck, not self._stuck)
        failures = ", ".join(crew.failures) or "none"
        yield Finding("processes that failed", failures, not crew.failures)
        memory = max(crew.memory.values()) // 2**20
        yield Finding("memory of a process", f"{memory} MiB", memory < MOST_MEMORY)
        rate = sum(entry.events for entry in acknowledged) / took
        yield Finding("took", f"{took:.0f} s, {rate:.0f} events a second, with faults")
