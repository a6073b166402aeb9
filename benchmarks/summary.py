"""What users want to know first: what they write, and how fast it is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.cases import FORMS
from benchmarks.reports import Row, number, ratio
from benchmarks.results import REFERENCE, Comparison, Results

_HEAD = ("what you write", "events/s", "the library's", "ratio")

_SAVING = {
    "append-1": "`save()` with 1 event",
    "append-100": "`save()` with 100 events",
    "append-threads": "`save()` in 8 threads",
    "append-processes": "`save()` in 8 processes",
}
_FORMS = {
    "inline": "`processing()`, `upsert()` built for each event",
    "declared": "`processing()`, declared `upsert()`",
    "single": "`process()`, declared `upsert()`",
    "orm": "`session()`, ORM objects",
}
_RUNNERS = {"project": "the library's runner", "batches": "our runner"}


class Line(NamedTuple):
    """One thing that users write.

    Attributes:
        title: of it.
        comparison: of this package with the library.
    """

    title: str
    comparison: Comparison

    @property
    def figures(self) -> tuple[float, float]:
        """Events a second: ours, and the library's."""
        summaries = self.comparison.summaries
        return summaries["ours"].median, summaries["host"].median


def lines(results: Results) -> Sequence[Line]:
    """What was measured of it, in an order that begins with saving."""
    measured = {
        each.case.name: each
        for each in results.comparisons()
        if each.database == REFERENCE and {"ours", "host"} <= each.summaries.keys()
    }
    return [
        Line(title, measured[name]) for name, title in _titles() if name in measured
    ]


def _titles() -> Iterator[tuple[str, str]]:
    yield from _SAVING.items()
    for group, runner in _RUNNERS.items():
        for form in FORMS:
            yield f"{group}-{form}", f"{_FORMS[form]}, {runner}"


def table(results: Results) -> list[Row]:
    """The same as a table; the first row is the head."""
    rows: list[Row] = [_HEAD]
    for line in lines(results):
        ours, host = line.figures
        rows.append((line.title, number(ours), number(host), ratio(ours / host)))
    return rows
