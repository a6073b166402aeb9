"""What probes are told about the projections of a process."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from http import HTTPStatus
from typing import Any

from eventsourcing_alchemy.cli.health_server import (
    Answer,
    Routes,
    json_answer,
    text_answer,
)
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError, text_of
from eventsourcing_alchemy.operations.asking import Asking
from eventsourcing_alchemy.operations.opening import recorder_of
from eventsourcing_alchemy.runners.base_runner import BaseRunner
from eventsourcing_alchemy.runners.health import Health, State

SHORTEST_INTERVAL = 1.0
"""Seconds between two questions to the database, however many probes come."""

PATIENCE = 0.5
"""Seconds that a probe waits for the database; Kubernetes waits 1 s for the probe."""

Runners = Mapping[str, BaseRunner[Any]]

Problem = Callable[[Health], str | None]


class Probes:
    """Answers probes about runners, also while the database does not answer.

    Args:
        runners: by name of the projection.
        max_lag: seconds of lag beyond which a projection is not ready.
    """

    def __init__(self, runners: Runners, max_lag: float) -> None:
        self._runners = runners
        self._max_lag = max_lag
        self._seen: Mapping[str, Health] = dict.fromkeys(runners, _NOTHING_SEEN)
        self._asking = Asking(self._look, SHORTEST_INTERVAL, PATIENCE, "probes")

    def alive(self) -> Answer:
        """Whether there is no reason to start the process again."""
        return self._answer(_problem_of_process)

    def ready(self) -> Answer:
        """Whether the views are as new as they have to be."""
        return self._answer(self._problem_of_view)

    def _problem_of_view(self, health: Health) -> str | None:
        lag = health.lag_seconds
        if health.state is State.FAILED:
            return health.last_error
        if health.is_stale:
            return f"The database does not answer: {health.last_error}"
        if lag is None:
            return "Events wait, for an unknown time"
        if lag > self._max_lag:
            return f"An event has waited for {lag:.1f} s, longer than {self._max_lag:g}"
        return None

    def _answer(self, problem_of: Problem) -> Answer:
        seen = self._health()
        problems = {name: problem_of(health) for name, health in seen.items()}
        content = {
            name: {**asdict(health), "problem": problems[name]}
            for name, health in seen.items()
        }
        return json_answer(
            {"version": 1, "projections": content}, is_good=not any(problems.values())
        )

    def _health(self) -> Mapping[str, Health]:
        seen = self._asking.answer()
        if seen is None:
            return self._stale(f"no answer for {self._asking.silent_for():.1f} s")
        self._seen = seen
        return seen

    def _look(self) -> Mapping[str, Health]:
        try:
            return {name: each.health() for name, each in self._runners.items()}
        except Exception as error:  # Whatever a recorder of the user's raises.
            return self._stale(text_of(error))

    def _stale(self, reason: str) -> Mapping[str, Health]:
        """What was seen last, when it cannot be seen now."""
        return {
            name: replace(health, last_error=reason, is_stale=True)
            for name, health in self._seen.items()
        }


_NOTHING_SEEN = Health(
    State.STANDBY, None, None, 0, None, None, is_frozen=False, is_stale=True
)


def _problem_of_process(health: Health) -> str | None:
    if health.state is State.FAILED:
        return health.last_error
    if health.is_frozen and health.state is State.FOLLOWING:
        return "process_event() hangs, or nobody processes the events"
    return None


@contextmanager
def routes_of(runners: Runners, max_lag: float) -> Iterator[Routes]:
    """What to serve about runners.

    Args:
        runners: by name of the projection.
        max_lag: seconds of lag beyond which a projection is not ready.
    """
    probes = Probes(runners, max_lag)
    stores = (recorder_of(each).datastore for each in runners.values())
    with _metrics({id(each.engine): each for each in stores}.values()) as metrics:
        yield {
            "/healthz": probes.alive,
            "/readyz": probes.ready,
            "/metrics": metrics,
        }


@contextmanager
def _metrics(
    datastores: Iterable[SQLAlchemyDatastore],
) -> Iterator[Callable[[], Answer]]:
    from eventsourcing_alchemy.operations.telemetry import prometheus

    try:
        metrics = prometheus.PrometheusMetrics(*datastores)
    except ConfigurationError as error:
        missing = str(error)
        yield lambda: text_answer(missing, HTTPStatus.NOT_IMPLEMENTED)
        return
    kind = prometheus.CONTENT_TYPE
    try:
        yield lambda: Answer(HTTPStatus.OK, kind, metrics.text())
    finally:
        metrics.close()
