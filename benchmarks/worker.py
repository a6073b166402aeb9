"""``python -m benchmarks.worker``: measures, as a line of JSON on its input says."""

import sys
from collections.abc import Callable, Mapping

from eventsourcing.utils import resolve_topic

from benchmarks.cases import CASES
from benchmarks.durability import make_full_the_default
from benchmarks.jobs import Job, Measured

PREPARATIONS = {
    "orders": "benchmarks.measurements.reading:fill_log",
    "loans": "benchmarks.measurements.loans:fill_log",
    "tagged": "benchmarks.measurements.tagged:fill_log",
    "tagged-small": "benchmarks.measurements.tagged:fill_small_log",
    "facts": "benchmarks.facts:facts",
}
_CASES = {case.name: case for case in CASES}


def work(job: Job) -> Measured:
    """Does the job."""
    make_full_the_default()
    function: Callable[[Job], Mapping[str, float]] = resolve_topic(_topic(job))
    measured = function(job)
    if isinstance(measured, Measured):
        return measured
    return Measured(metrics=measured)


def _topic(job: Job) -> str:
    if job.case in PREPARATIONS:
        return PREPARATIONS[job.case]
    case = _CASES[job.case]
    return case.limit[job.database] if job.contestant == "limit" else case.measure


if __name__ == "__main__":
    # Nothing but the result goes to the output.
    output, sys.stdout = sys.stdout, sys.stderr
    result = work(Job.from_json(sys.stdin.read()))
    print(result.to_json(), file=output, flush=True)
