"""Runs the cases: A B A B, each measurement in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

from benchmarks.cases import Case
from benchmarks.contestants import OURS, Contestant
from benchmarks.databases import Databases
from benchmarks.delay import far_away
from benchmarks.jobs import Address, Job, Measured
from benchmarks.results import Results
from benchmarks.sizes import Sizes

ROOT = Path(__file__).parents[1]

LONGEST = 1800
"""Seconds after which a measurement is given up."""


@dataclass(frozen=True)
class Entry:
    """A contestant on a kind of database."""

    contestant: Contestant
    database: str

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"{self.database}_{self.contestant.name}"


class MeasurementError(Exception):
    """A process that should have measured something has failed."""


@dataclass
class Run:
    """A run of the benchmark.

    Attributes:
        cases: to measure.
        contestants: that may take part.
        databases: by their kind.
        sizes: how much to measure.
        old_python: the interpreter of contestants that need an older SQLAlchemy.
        events: path of the real event log, prepared.
    """

    cases: Sequence[Case]
    contestants: Sequence[Contestant]
    databases: Mapping[str, Databases]
    sizes: Sizes
    old_python: str = ""
    events: str = ""
    results: Results = field(default_factory=Results)
    _logs: dict[str, Address] = field(default_factory=dict)

    def __call__(self) -> Results:
        """Measures everything, and tells how it goes on."""
        for databases in self.databases.values():
            self.results.servers[databases.kind] = databases.facts()
        for case in self.cases:
            begun = monotonic()
            for _ in range(self.sizes.rounds):
                for entry in self._entries(case):
                    self._try(case, entry)
            print(f"{case.name}: {monotonic() - begun:.0f} s", flush=True)
        return self.results

    def _entries(self, case: Case) -> Iterator[Entry]:
        for database in self.databases:
            for contestant in self.contestants:
                if contestant.takes_part(case, database):
                    yield Entry(contestant, database)

    def _try(self, case: Case, entry: Entry) -> None:
        try:
            self._measure(case, entry)
        except MeasurementError as error:
            self.results.failures.append(f"{case.name}, {entry.name}: {error}")
            last = str(error).strip().rpartition("\n")[2]
            print(f"{case.name}, {entry.name}: {last}", file=sys.stderr, flush=True)

    def _measure(self, case: Case, entry: Entry) -> None:
        address = self._log(case, entry) if case.log else self._empty(entry)
        with far_away(address) if case.is_far else nullcontext(address) as where:
            measured = self._work(case.name, entry, where, is_tagged=case.is_tagged)
        self.results.add(case, entry.database, entry.contestant.name, measured.metrics)
        if not self.results.has_facts(entry.database, entry.contestant.name):
            found = self._work("facts", entry, address).facts
            self.results.add_facts(entry.database, entry.contestant.name, found)

    def _empty(self, entry: Entry) -> Address:
        return self.databases[entry.database].empty(entry.name)

    def _log(self, case: Case, entry: Entry) -> Address:
        if entry.contestant.is_limit:
            entry = replace(entry, contestant=OURS)
        name = f"{entry.name}_{case.log}"
        if name not in self._logs:
            databases = self.databases[entry.database]
            address = databases.empty(name)
            self._work(case.log, entry, address, is_tagged=case.is_tagged)
            databases.settle(address)
            self._logs[name] = address
        return self._logs[name]

    def _work(
        self, case: str, entry: Entry, address: Address, *, is_tagged: bool = False
    ) -> Measured:
        contestant, database = entry.contestant, entry.database
        job = Job(
            case,
            contestant.name,
            database,
            address,
            contestant.environment(database, address, is_tagged=is_tagged),
            self.sizes,
            self.events,
        )
        return work(self.old_python if contestant.is_old else sys.executable, job)


def work(python: str, job: Job) -> Measured:
    """Does a job in a process of its own.

    Raises:
        MeasurementError: if it fails.
    """
    command = [python, "-m", "benchmarks.worker"]
    try:
        ended = subprocess.run(  # noqa: S603
            command,
            check=False,
            cwd=ROOT,
            input=job.to_json(),
            capture_output=True,
            text=True,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"No result after {LONGEST} s") from error
    if ended.returncode:
        raise MeasurementError(ended.stderr[-2000:])
    return Measured.from_json(ended.stdout)
