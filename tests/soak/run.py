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
from soak.databases import ANSWER_TIMEOUT, LOCK_TIMEOUT, Database, ErrorKind
from soak.gauge import BOOKED, WRITTEN, Gauge
from soak.journal import Journals
from soak.projections import RUNNERS
from soak.totals import Totals
from soak.verdict import Finding, Judge
from soak.work import book, follow, project, write

WRITER, CLERK = "writer", "clerk"
"""Who writes, of the bank and of the theatre."""

KINDS: Mapping[str, str] = {WRITTEN: WRITER, BOOKED: CLERK}
"""Whose doing a position is."""

WRITERS, CLERKS = 3, 2

EVENTS_A_BOOKING = 10
"""Of the bank, for one of the theatre."""

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
            journals = Journals(Path(folder), WRITERS, CLERKS)
            self._create_tables()
            with Crew(self._posts(journals)) as crew:
                self._soak(crew, journals)
            took = monotonic() - self._started
            judge = Judge(self._env(database.url), journals)
            return [*judge.findings(), *self._of_run(crew, journals, took)]

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
            factory.dcb_recorder()

    def _posts(self, journals: Journals) -> Iterator[Post]:
        envs = [self._env(url) for url in self._database.urls]
        bookings = -(-self._events // EVENTS_A_BOOKING)
        for kind, work, own, events in (
            (WRITER, write, journals.writers, self._events),
            (CLERK, book, journals.clerks, bookings),
        ):
            quota = -(-events // len(own))
            for number, journal in enumerate(own):
                env, seed = envs[number % len(envs)], self._random.randrange(10**6)
                yield Post(kind, partial(work, env, journal, quota, seed))
        yield Post("follower", partial(follow, envs[-1], journals.followed))
        for number, name in enumerate(RUNNERS):
            for copy in range(COPIES):
                env = envs[(number + copy) % len(envs)]
                yield Post(f"copy of {name}", partial(project, name, env))

    def _soak(self, crew: Crew, journals: Journals) -> None:
        faults: dict[str, ErrorKind] = {
            **self._database.faults,
            **{f"{kind} killed": partial(crew.kill, kind) for kind in crew.kinds},
        }
        with closing(Gauge(self._database.url, journals.followed)) as gauge:

            def is_done() -> bool:
                return all(map(crew.have_done, KINDS.values())) and not gauge.behind()

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
        waiting = gauge.behind() | set(KINDS)

        def have_moved() -> bool:
            waiting.difference_update(
                name for name, kind in KINDS.items() if crew.have_done(kind)
            )
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

    def _of_run(self, crew: Crew, journals: Journals, took: float) -> Iterator[Finding]:
        stuck = ", ".join(self._stuck) or "nobody"
        yield Finding("stuck", stuck, not self._stuck)
        failures = ", ".join(crew.failures) or "none"
        yield Finding("processes that failed", failures, not crew.failures)
        memory = max(crew.memory.values()) // 2**20
        yield Finding("memory of a process", f"{memory} MiB", memory < MOST_MEMORY)
        rate = sum(entry.events for entry in journals.written()) / took
        yield Finding("took", f"{took:.0f} s, {rate:.0f} events a second, with faults")
