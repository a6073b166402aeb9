"""What came out: medians, ratios, and what was reached."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.cases import CASES, Against, Case, Metric, Target
from benchmarks.contestants import CONTESTANTS, OURS

_PEERS = [each for each in CONTESTANTS if each.is_peer]

_WHOSE = {"database", "contestant"}

REFERENCE = "postgresql"
"""The database with which this package is compared where it has no peers."""


@dataclass(frozen=True)
class Summary:
    """Of the measurements of one contestant."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median."""
        return median(self.values)

    @property
    def low(self) -> float:
        """The smallest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The largest."""
        return max(self.values)


@dataclass(frozen=True)
class Verdict:
    """How a ratio, or a number, compares with its target.

    Attributes:
        target: what has to be reached, None where nothing has to be.
        rival: with what it is compared.
        ratio: to that, or the number itself where it is compared with nothing.
        reached: whether the target is reached, None where there is none.
    """

    target: Target | None
    rival: str
    ratio: float
    reached: bool | None


@dataclass
class Comparison:
    """The contestants in one metric of a case, on a kind of database."""

    case: Case
    metric: Metric
    database: str
    summaries: Mapping[str, Summary]
    reference: Summary | None
    """Ours on another database."""

    @property
    def title(self) -> str:
        """Of the case and the metric."""
        return f"{self.case.title}{self.metric.title}"

    @property
    def ours(self) -> Summary | None:
        """The result of this package."""
        return self.summaries.get(OURS.name)

    def best_peer(self) -> str | None:
        """The name of the better peer, of those that keep every event."""
        peers = [c.name for c in _PEERS if not c.loses_events]
        best = min if self.metric.lower_is_better else max
        return best(
            (name for name in peers if name in self.summaries),
            key=lambda name: self.summaries[name].median,
            default=None,
        )

    def ratio(self, name: str) -> float | None:
        """Ours to that of another contestant."""
        rival = self.summaries.get(name)
        if self.ours is None or rival is None or not rival.median:
            return None
        return self.ours.median / rival.median

    def verdicts(self) -> Iterator[Verdict]:
        """One for each target, and ratios for which there is none."""
        targets = self.metric.targets.get(self.database, ())
        for target in targets:
            yield from self._judged(target)
        rivals = [c.name for c in _PEERS if c.loses_events]
        if not any(target.against is Against.PEER for target in targets):
            rivals.insert(0, self.best_peer() or "")
        for rival in rivals:
            yield from self._compared(rival)
        if self.best_peer() is None:
            yield from self._across()

    def _judged(self, target: Target) -> Iterator[Verdict]:
        rival = {
            Against.PEER: self.best_peer(),
            Against.LIMIT: "limit",
            Against.NUMBER: "",
        }[target.against]
        ratio = self.ours.median if rival == "" and self.ours else None
        if rival:
            ratio = self.ratio(rival)
        if ratio is not None:
            lower = self.metric.lower_is_better
            reached = ratio <= target.bound if lower else ratio >= target.bound
            yield Verdict(target, rival or "", ratio, reached)

    def _compared(self, rival: str) -> Iterator[Verdict]:
        ratio = self.ratio(rival)
        if ratio is not None:
            yield Verdict(None, rival, ratio, None)

    def _across(self) -> Iterator[Verdict]:
        if self.ours and self.reference and self.reference.median:
            ratio = self.ours.median / self.reference.median
            yield Verdict(None, f"{OURS.name} on {REFERENCE}", ratio, None)


Key = tuple[str, str, str, str]


@dataclass
class Results:
    """What was measured.

    Attributes:
        servers: facts about them, by kind.
        failures: measurements that failed.
    """

    servers: dict[str, dict[str, str]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    _cases: dict[str, Case] = field(default_factory=dict)
    _values: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    _facts: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Results":
        """What was written by `reports.as_json()`.

        Cases that there are no more are left out.
        """
        results = cls(servers=document["servers"], failures=document["failures"])
        cases = {case.name: case for case in CASES}
        for each in document["results"]:
            case = cases.get(each["case"])
            for contestant, found in each["contestants"].items() if case else ():
                for value in found["values"]:
                    metrics = {each["metric"]: value}
                    results.add(
                        cases[each["case"]], each["database"], contestant, metrics
                    )
        for each in document["facts"]:
            about = {k: v for k, v in each.items() if k not in _WHOSE}
            results.add_facts(each["database"], each["contestant"], about)
        return results

    def add(
        self, case: Case, database: str, contestant: str, metrics: Mapping[str, float]
    ) -> None:
        """Adds a measurement."""
        self._cases[case.name] = case
        for metric, value in metrics.items():
            self._values[case.name, metric, database, contestant].append(value)

    def has_facts(self, database: str, contestant: str) -> bool:
        """Whether there are facts about a contestant."""
        return (database, contestant) in self._facts

    def add_facts(
        self, database: str, contestant: str, facts: Mapping[str, str]
    ) -> None:
        """Adds facts about a contestant."""
        self._facts[database, contestant] = facts

    def facts(self) -> Mapping[tuple[str, str], Mapping[str, str]]:
        """Facts about the contestants, by database and name."""
        return self._facts

    def comparisons(self) -> list[Comparison]:
        """What can be compared, by database and in the order of the cases."""
        return [
            Comparison(
                case,
                metric,
                database,
                self._summaries(case, metric, database),
                self._reference(case, metric, database),
            )
            for database in self.servers
            for case in self._cases.values()
            for metric in case.metrics
            if self._summaries(case, metric, database)
        ]

    def missed(self) -> list[Verdict]:
        """The targets that are not reached."""
        verdicts = (each for one in self.comparisons() for each in one.verdicts())
        return [each for each in verdicts if each.reached is False]

    def _summaries(
        self, case: Case, metric: Metric, database: str
    ) -> dict[str, Summary]:
        keys = {c.name: (case.name, metric.name, database, c.name) for c in CONTESTANTS}
        return {
            name: Summary(tuple(self._values[key]))
            for name, key in keys.items()
            if key in self._values
        }

    def _reference(self, case: Case, metric: Metric, database: str) -> Summary | None:
        if database == REFERENCE:
            return None
        return self._summaries(case, metric, REFERENCE).get(OURS.name)
