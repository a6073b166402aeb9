"""What is compared, and what has to be reached."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, auto


class Against(StrEnum):
    """What a number is compared with."""

    PEER = auto()
    """The better peer in the same run."""
    LIMIT = auto()
    """What the database itself can do."""
    NUMBER = auto()
    """Nothing."""


@dataclass(frozen=True)
class Target:
    """What has to be reached: at least or, of what should be low, at most."""

    bound: float
    against: Against = Against.PEER


@dataclass(frozen=True)
class Metric:
    """A number that is measured.

    Attributes:
        name: within its case.
        unit: of the number.
        lower_is_better: whether it should be low.
        title: behind that of the case.
        targets: by the kind of the database.
    """

    name: str
    unit: str
    lower_is_better: bool = False
    title: str = ""
    targets: Mapping[str, tuple[Target, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What is compared.

    Attributes:
        name: on the command line.
        title: in reports.
        measure: topic of the function that measures it.
        metrics: what that returns.
        limit: topics of functions that measure the limit, by kind of database.
        limit_name: what the limit is called, where it is none, or none of the database.
        log: name of the log that it reads, which is filled before.
        subscribes: whether only those take part that have subscriptions.
        appends: whether it makes a difference how events are appended.
        needs_events: whether the real event log is needed.
        is_tagged: whether it is about events with tags.
        is_far: whether the server is 1 ms away.
    """

    name: str
    title: str
    measure: str
    metrics: tuple[Metric, ...]
    limit: Mapping[str, str] = field(default_factory=dict)
    limit_name: str = "limit"
    log: str = ""
    subscribes: bool = False
    appends: bool = False
    needs_events: bool = False
    is_tagged: bool = False
    is_far: bool = False


def _rate(
    unit: str,
    postgresql: float | None = None,
    sqlite: float | None = None,
    *,
    of_limit: float | None = None,
    sqlite_alone: float | None = None,
) -> tuple[Metric, ...]:
    """A rate, with what has to be reached."""
    targets = {
        "postgresql": _targets((postgresql, Against.PEER), (of_limit, Against.LIMIT)),
        "sqlite": _targets((sqlite, Against.PEER), (sqlite_alone, Against.NUMBER)),
    }
    return (Metric("rate", unit, targets=targets),)


def _latency(
    postgresql: float | None = None, sqlite: float | None = None
) -> tuple[Metric, ...]:
    """The median and almost the longest of latencies, with what has to be reached."""
    targets = {
        "postgresql": _targets((postgresql, Against.PEER)),
        "sqlite": _targets((sqlite, Against.PEER)),
    }
    return tuple(
        Metric(name, "ms", lower_is_better=True, title=f", {name}", targets=targets)
        for name in ("p50", "p99")
    )


def _targets(*bounds: tuple[float | None, Against]) -> tuple[Target, ...]:
    return tuple(
        Target(bound, against) for bound, against in bounds if bound is not None
    )


def _both(topic: str) -> dict[str, str]:
    return {"postgresql": topic, "sqlite": topic}


_NONE = {
    database: (Target(0, Against.NUMBER),)
    for database in ("postgresql", "sqlite", "mariadb")
}

FORMS = {
    "inline": "processing(), statement built for each event",
    "declared": "processing(), declared statement",
    "single": "process(), declared statement",
    "orm": "session(), ORM",
}
"""How users write a view, and what that is called."""

_PROJECTING = {
    "project": ("project_{}", "project"),
    "batches": ("batches_{}", "project_in_batches"),
}


def _projections(
    group: str, how: str, **targets: tuple[float | None, float | None]
) -> Iterator[Case]:
    """A case for each form: what has to be reached against the peer, and the limit."""
    for form, title in FORMS.items():
        peer, of_limit = targets[form]
        name, single = _PROJECTING[group]
        function = single if form == "single" else name.format(form)
        is_bounded = group == "batches" and form == "orm"
        yield Case(
            f"{group}-{form}",
            f"Projection {how}: {title}",
            f"benchmarks.measurements.projecting:{function}",
            _rate("events/s", peer, of_limit=of_limit),
            limit=_both("benchmarks.limits.plain_session:project")
            if is_bounded
            else {},
            limit_name="a plain Session for each page" if is_bounded else "limit",
            subscribes=True,
        )


CASES = (
    Case(
        "append-1",
        "Append 1 event a transaction",
        "benchmarks.measurements.append:append_1",
        _rate("transactions/s", 2.0, 1.0, of_limit=0.5),
        limit={
            "postgresql": "benchmarks.limits.pgbench:append_1",
            "sqlite": "benchmarks.limits.bare_sqlite:append_1",
        },
        appends=True,
    ),
    Case(
        "append-100",
        "Append 100 events a transaction",
        "benchmarks.measurements.append:append_100",
        _rate("events/s", 1.8, 1.0),
        limit={
            "postgresql": "benchmarks.limits.pgbench:append_100",
            "sqlite": "benchmarks.limits.bare_sqlite:append_100",
        },
        appends=True,
    ),
    Case(
        "append-threads",
        "Append, 8 threads",
        "benchmarks.measurements.append:append_threads",
        _rate("transactions/s", 2.0, 1.2),
        limit={"postgresql": "benchmarks.limits.pgbench:append_8"},
        limit_name="pgbench, 8 connections",
        appends=True,
    ),
    Case(
        "append-processes",
        "Append, 8 processes",
        "benchmarks.measurements.append:append_processes",
        _rate("transactions/s", 2.0, 1.2),
        limit={"postgresql": "benchmarks.limits.pgbench:append_8"},
        limit_name="pgbench, 8 connections",
        appends=True,
    ),
    Case(
        "load-aggregate",
        "Load an aggregate of 100 events",
        "benchmarks.measurements.reading:load_aggregate",
        _rate("aggregates/s", 1.2, 1.0),
        limit=_both("benchmarks.limits.reading:load_aggregate"),
        log="orders",
    ),
    Case(
        "select-notifications",
        "Select notifications by 500",
        "benchmarks.measurements.reading:select_notifications",
        _rate("events/s", 1.3, 1.3),
        limit=_both("benchmarks.limits.reading:select_notifications"),
        log="orders",
    ),
    Case(
        "catch-up",
        "Subscription catches up",
        "benchmarks.measurements.reading:catch_up",
        _rate("events/s", 1.3, sqlite_alone=250_000),
        limit=_both("benchmarks.limits.reading:catch_up"),
        log="orders",
        subscribes=True,
    ),
    Case(
        "missed",
        "Events missed while 8 threads append",
        "benchmarks.measurements.ordering:missed",
        (Metric("missed", "events", lower_is_better=True, targets=_NONE),),
        appends=True,
        subscribes=True,
    ),
    *_projections(
        "project",
        "one by one",
        inline=(1.3, None),
        declared=(1.3, None),
        single=(1.5, None),
        orm=(None, None),
    ),
    *_projections(
        "batches",
        "in batches",
        inline=(6.0, None),
        declared=(10.0, None),
        single=(10.0, None),
        orm=(None, 0.5),
    ),
    Case(
        "visible",
        "Save to visible in the view, process()",
        "benchmarks.measurements.latency:visible",
        _latency(1.0),
        appends=True,
        subscribes=True,
    ),
    Case(
        "visible-declared",
        "Save to visible in the view, processing()",
        "benchmarks.measurements.latency:visible_declared",
        _latency(0.9),
        appends=True,
        subscribes=True,
    ),
    Case(
        "visible-standard",
        "Save to visible, standard runner",
        "benchmarks.measurements.latency:visible_standard",
        _latency(),
        appends=True,
        subscribes=True,
    ),
    Case(
        "visible-elsewhere",
        "Save to visible, other process",
        "benchmarks.measurements.latency:visible_elsewhere",
        _latency(),
        appends=True,
        subscribes=True,
    ),
    Case(
        "wait",
        "Save to return of wait()",
        "benchmarks.measurements.latency:waited",
        _latency(0.1, 0.1),
    ),
    Case(
        "loans-append",
        "Loans: append 1 aggregate a transaction",
        "benchmarks.measurements.loans:append",
        _rate("events/s"),
        appends=True,
        needs_events=True,
    ),
    Case(
        "loans-catch-up",
        "Loans: subscription catches up",
        "benchmarks.measurements.loans:catch_up",
        _rate("events/s"),
        log="loans",
        subscribes=True,
        needs_events=True,
    ),
    Case(
        "loans-project",
        "Loans: projection, our runner in batches",
        "benchmarks.measurements.projecting:project_loans",
        _rate("events/s"),
        subscribes=True,
        needs_events=True,
    ),
    Case(
        "tags-append",
        "Tags: append 1 event under a condition",
        "benchmarks.measurements.tagged:append_conditional",
        _rate("transactions/s", 1.3, sqlite_alone=3_000),
        is_tagged=True,
    ),
    Case(
        "tags-threads",
        "Tags: append under a condition, 8 threads",
        "benchmarks.measurements.tagged:append_threads",
        _rate("transactions/s", 3.0),
        is_tagged=True,
    ),
    Case(
        "tags-processes",
        "Tags: append under a condition, 8 processes",
        "benchmarks.measurements.tagged:append_processes",
        _rate("transactions/s", 1.5),
        is_tagged=True,
    ),
    Case(
        "tags-append-100",
        "Tags: append 100 events",
        "benchmarks.measurements.tagged:append_100",
        _rate("events/s", 2.0),
        is_tagged=True,
    ),
    Case(
        "tags-read",
        "Tags: read the 20 events of an entity",
        "benchmarks.measurements.tagged:read_entity",
        _rate("reads/s", 1.2),
        log="tagged",
        is_tagged=True,
    ),
    Case(
        "tags-either",
        "Tags: read the events of one tag or another",
        "benchmarks.measurements.tagged:read_either",
        (
            Metric(
                "p50",
                "ms",
                lower_is_better=True,
                targets={"postgresql": (Target(1.0, Against.NUMBER),)},
            ),
        ),
        log="tagged-small",
        is_tagged=True,
    ),
    Case(
        "tags-enrol",
        "Tags: courses, students, and who joins what",
        "benchmarks.measurements.tagged:enrol",
        _rate("operations/s", 1.3),
        is_tagged=True,
    ),
    Case(
        "far-append",
        "Server 1 ms away: append 1 event",
        "benchmarks.measurements.append:append_1",
        _rate("transactions/s", 3.0),
        appends=True,
        is_far=True,
    ),
    Case(
        "far-declared",
        "Server 1 ms away: processing(), declared statement",
        "benchmarks.measurements.projecting:project_declared",
        _rate("events/s", 1.8),
        subscribes=True,
        is_far=True,
    ),
    Case(
        "far-single",
        "Server 1 ms away: process(), declared statement",
        "benchmarks.measurements.projecting:project",
        _rate("events/s", 3.0),
        subscribes=True,
        is_far=True,
    ),
)
