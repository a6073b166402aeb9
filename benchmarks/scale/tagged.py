"""What conditional appends and reads of events with tags cost while the log grows."""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Any

from eventsourcing.dcb.api import DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment
from sqlalchemy import Engine, text

from benchmarks.measurements.tagged import DATA, ENTITY, Writer, of_both
from benchmarks.scale.domain import BATCH
from benchmarks.scale.findings import Figure, Findings, Note
from benchmarks.scale.growth import (
    FIRST_COMPARED,
    FLAT,
    STEPS,
    WRITES_ALL,
    autocommit,
    median_of,
)
from benchmarks.scale.plans import plan

PART = "tags"

SPREAD = 100
"""Entities whose events alternate, so that those of one are not neighbours."""

GROUPS = 7
"""Tags that all events share, so that each grows with the log."""

_ANALYZE = {
    "postgresql": "ANALYZE",
    "sqlite": "ANALYZE",
    "mariadb": "ANALYZE TABLE es_dcb_events, es_dcb_tags",
}
_WITHOUT_STATISTICS = "ALTER TABLE {} SET (autovacuum_enabled = no)"


def measure(kind: str, environment: dict[str, str], events: int) -> Findings:
    """Lets the log grow, and measures on the way.

    Args:
        kind: of the database, which is empty.
        environment: variables of the application.
        events: number of events at the end.
    """
    factory: Any = InfrastructureFactory.construct(Environment("School", environment))
    growth = _Growth(kind, factory.dcb_recorder())
    steps = [each for each in STEPS if FIRST_COMPARED <= each < events]
    for step in [*steps, events]:
        growth.grow(step)
        growth.measure(step)
    growth.analyze(events)
    growth.compare()
    factory.close()
    return growth.findings


class _Growth:
    def __init__(self, kind: str, recorder: Any) -> None:
        self.findings = Findings()
        self._kind = kind
        self._recorder = recorder
        self._engine: Engine = recorder.datastore.engine
        self._count = 0
        self._log = _log()
        self._random = Random(0)  # noqa: S311
        self._writer = Writer(recorder, "new")
        if kind == "postgresql":
            with autocommit(self._engine) as connection:
                for table in ("es_dcb_events", "es_dcb_tags"):
                    connection.execute(text(_WITHOUT_STATISTICS.format(table)))

    def grow(self, events: int) -> None:
        """Appends in large batches."""
        while self._count < events:
            self._recorder.append([next(self._log) for _ in range(BATCH)])
            self._count += BATCH

    def measure(self, events: int, suffix: str = "") -> None:
        """Measures with what there is now."""
        if self._kind in WRITES_ALL:
            with autocommit(self._engine) as connection:
                connection.execute(text(WRITES_ALL[self._kind]))
        for name, call in self._calls():
            figure = Figure(
                PART, self._kind, name + suffix, median_of(call), "ms", events
            )
            self.findings.figures.append(figure)

    def analyze(self, events: int) -> None:
        """Measures again, with statistics, and notes the plans before and after."""
        self._explain(events, "")
        with autocommit(self._engine) as connection:
            connection.execute(text(_ANALYZE[self._kind]))
        self.measure(events, ", with statistics")
        self._explain(events, ", with statistics")

    def compare(self) -> None:
        """Adds how many times the last cost is that at first."""
        for name, _ in self._calls():
            costs = [
                each.value
                for each in self.findings.figures
                if each.name.partition(",")[0] == name
            ]
            title = f"{name}, last / at {FIRST_COMPARED:,} events"
            times = costs[-1] / costs[0]
            figure = Figure("flatness", self._kind, title, times, "x", limit=FLAT)
            self.findings.figures.append(figure)

    def _calls(self) -> Sequence[tuple[str, Callable[[], object]]]:
        return (
            ("conditional append", self._writer.append),
            (f"read of an entity's {ENTITY} events", self._read_one),
            ("OR of two tags", self._read_two),
            ("AND with a tag of many events", self._read_both),
        )

    def _read_one(self) -> None:
        self._read(_of(self._any_entity()), ENTITY)

    def _read_two(self) -> None:
        first = self._any_entity()
        second = first + SPREAD if first < SPREAD else first - SPREAD
        query = of_both(f"entity-{first}", f"entity-{second}")
        self._read(query, 2 * ENTITY)

    def _read_both(self) -> None:
        group = self._random.randrange(GROUPS)
        self._read(_of(self._any_entity(), f"group-{group}"))

    def _read(self, query: DCBQuery, expected: int | None = None) -> None:
        found = len(list(self._recorder.read(query)))
        assert found == expected or expected is None  # noqa: S101

    def _any_entity(self) -> int:
        return self._random.randrange(self._count // ENTITY // SPREAD * SPREAD)

    def _explain(self, events: int, suffix: str) -> None:
        for name, query in self._calls()[1:]:
            title = f"Plan of the {name} among {events:,}{suffix}"
            found = plan(self._engine, query, of="FROM es_dcb_tags")
            self.findings.notes.append(Note(self._kind, title, found.text))


def _of(entity: int, *others: str) -> DCBQuery:
    return DCBQuery([DCBQueryItem(tags=[f"entity-{entity}", *others])])


def _log() -> Iterator[DCBEvent]:
    for number in count():
        block, place = divmod(number, ENTITY * SPREAD)
        entity = block * SPREAD + place % SPREAD
        tags = [f"entity-{entity}", f"group-{number % GROUPS}"]
        yield DCBEvent("StudentJoined", DATA, tags)
