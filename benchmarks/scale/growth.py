"""What an append, a page and a load cost while the log grows."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

from sqlalchemy import Connection, Engine, text

from benchmarks.domain import Shop
from benchmarks.scale.domain import log, long_orders
from benchmarks.scale.findings import Figure, Findings, Note
from benchmarks.scale.plans import levels, plan
from benchmarks.workload import LONG, batches, long_order_id, orders

PART = "growth"
PAGE = 500
SAMPLES = 200
STEPS = (1_000, 10_000, 100_000, 300_000, 1_000_000)
"""Events at which is measured."""

FLAT = 2.0
"""Times what it was, from which on a cost is not flat. Flushes of commits, and a
processor that others use too, make medians differ by half."""

FIRST_COMPARED = 10_000
"""Events with which later costs are compared: few pages have no middle."""

WRITES_ALL = {
    "postgresql": "CHECKPOINT",
    "sqlite": "PRAGMA wal_checkpoint(TRUNCATE)",
}
"""Has a database write what it has put off, before something is measured."""

_WITHOUT_STATISTICS = "ALTER TABLE es_events SET (autovacuum_enabled = no)"


def measure(kind: str, environment: dict[str, str], events: int) -> Findings:
    """Lets the log grow, and measures on the way.

    Args:
        kind: of the database, which is empty.
        environment: variables of the application.
        events: number of events at the end.
    """
    shop = Shop(env=environment)
    growth = _Growth(kind, shop.recorder, events)
    for step in [each for each in STEPS if each < events] + [events]:
        growth.grow(step)
        growth.measure(step)
    growth.analyze(events)
    growth.compare()
    return growth.findings


class _Growth:
    def __init__(self, kind: str, recorder: Any, last_step: int) -> None:
        self.findings = Findings()
        self._kind = kind
        self._last_step = last_step
        self._recorder = recorder
        self._engine: Engine = recorder.datastore.engine
        self._log = log()
        self._count = 0
        self._random = Random(0)  # noqa: S311
        self._new = batches(orders(1), 1)
        if kind == "postgresql":
            with autocommit(self._engine) as connection:
                connection.execute(text(_WITHOUT_STATISTICS))

    def grow(self, events: int) -> None:
        """Appends in large batches."""
        begun, first = perf_counter(), self._count
        while self._count < events:
            batch = next(self._log)
            self._recorder.insert_events(batch)
            self._count += len(batch)
        rate = (self._count - first) / (perf_counter() - begun)
        self._add("append by 1,000", rate, "events/s", events)

    def measure(self, events: int, suffix: str = "") -> None:
        """Measures with what there is now."""
        with autocommit(self._engine) as connection:
            connection.execute(text(WRITES_ALL[self._kind]))
        for name, call in self._calls():
            self._add(name + suffix, median_of(call), "ms", events)
        self._explain(events, suffix)

    def analyze(self, events: int) -> None:
        """Measures again, with statistics."""
        with autocommit(self._engine) as connection:
            connection.execute(text("ANALYZE"))
        self.measure(events, ", with statistics")

    def compare(self) -> None:
        """Adds how many times the last cost is that at first."""
        timed = [each for each in self.findings.figures if each.unit == "ms"]
        for last in timed[-len(self._calls()) :]:
            name = last.name.partition(",")[0]
            costs = [
                each
                for each in timed
                if each.name == name and (each.events or 0) >= FIRST_COMPARED
            ]
            if costs:
                times = costs[-1].value / costs[0].value
                title = f"{name}, last / at {costs[0].events:,} events"
                figure = Figure("flatness", self._kind, title, times, "x", limit=FLAT)
                self.findings.figures.append(figure)

    def _calls(self) -> Sequence[tuple[str, Callable[[], object]]]:
        last = self._recorder.max_notification_id()
        return (
            (
                "append of 1 event",
                lambda: self._recorder.insert_events(next(self._new)),
            ),
            (f"first page of {PAGE}", lambda: self._page(1)),
            (f"any page of {PAGE}", lambda: self._page(self._any_start(last))),
            (f"last page of {PAGE}", lambda: self._page(last - PAGE + 1)),
            (f"load of {LONG} events", self._load),
        )

    def _any_start(self, last: int) -> int:
        return self._random.randrange(1, last - PAGE + 1)

    def _page(self, start: int) -> None:
        assert len(self._recorder.select_notifications(start, PAGE)) == PAGE  # noqa: S101

    def _load(self) -> None:
        number = self._random.randrange(long_orders(self._count))
        found = self._recorder.select_events(long_order_id(number))
        assert len(found) == LONG  # noqa: S101

    def _explain(self, events: int, suffix: str) -> None:
        with autocommit(self._engine) as connection:
            of_positions, of_aggregates = levels(connection)
        middle = self._any_start(self._recorder.max_notification_id())
        for name, index, query in (
            (f"a page of {PAGE}", of_positions, lambda: self._page(middle)),
            (f"a load of {LONG} events", of_aggregates, self._load),
        ):
            found = plan(self._engine, query)
            if not suffix:
                self._add(f"levels of the index of {name}", index, "", events)
            if found.blocks is not None:
                self._add(f"blocks of {name}{suffix}", found.blocks, "", events)
            if events == self._last_step:
                title = f"Plan of {name} among {events:,}{suffix}"
                self.findings.notes.append(Note(self._kind, title, found.text))

    def _add(self, name: str, value: float, unit: str, events: int) -> None:
        figure = Figure(PART, self._kind, name, value, unit, events)
        self.findings.figures.append(figure)


@contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """A connection for statements that no transaction may have."""
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def median_of(call: Callable[[], object]) -> float:
    """Milliseconds."""
    times = []
    for _ in range(SAMPLES):
        begun = perf_counter()
        call()
        times.append(perf_counter() - begun)
    return 1000 * median(times)
