"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        rounds: measurements of each contestant in each case.
        seconds: of a measurement, where it goes on for a time.
        log: events in the application that is read.
        aggregates: of 100 events each, beside these.
        projected: events that a runner processes one by one.
        batched: events that a runner processes in batches.
        mapped: events that a runner processes in batches by the ORM.
        samples: of a latency.
        loans: applications for a loan, of the real ones.
        tagged: events with tags in the application that is read.
    """

    rounds: int
    seconds: float
    log: int
    aggregates: int
    projected: int
    batched: int
    mapped: int
    samples: int
    loans: int
    tagged: int


SMOKE = Sizes(
    rounds=1,
    seconds=0.1,
    log=1_000,
    aggregates=5,
    projected=50,
    batched=500,
    mapped=500,
    samples=10,
    loans=20,
    tagged=10_000,
)
SHORT = Sizes(
    rounds=3,
    seconds=0.4,
    log=40_000,
    aggregates=50,
    projected=400,
    batched=6_000,
    mapped=3_000,
    samples=100,
    loans=1_000,
    tagged=100_000,
)
FULL = Sizes(
    rounds=5,
    seconds=3.0,
    log=200_000,
    aggregates=200,
    projected=5_000,
    batched=60_000,
    mapped=20_000,
    samples=1_000,
    loans=13_087,
    tagged=100_000,
)
