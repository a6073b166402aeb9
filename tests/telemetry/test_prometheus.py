"""`/metrics`, read by a parser of Prometheus' form."""

from __future__ import annotations

import sys
from time import monotonic

import pytest
from prometheus_client.parser import text_string_to_metric_families

from backends import Capability
from behaviour.workers import new_events
from eventsourcing_alchemy import (
    ConfigurationError,
    SQLAlchemyDatastore,
    instrument,
    instrumentation,
)
from eventsourcing_alchemy.errors import CannotConnectError
from eventsourcing_alchemy.operations import asking
from eventsourcing_alchemy.operations.telemetry import projections
from eventsourcing_alchemy.operations.telemetry.prometheus import PrometheusMetrics
from factories import OpenFactory
from positions import Positions

HOSTILE = 'a"b\\c\nd{}é🙂'


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[key] = sample.value
    return found


@pytest.mark.needs(Capability.SHARED)
def test_all_of_a_process(
    open_factory: OpenFactory, datastore: SQLAlchemyDatastore
) -> None:
    metrics = PrometheusMetrics(datastore)
    try:
        recorder = open_factory(HOSTILE).application_recorder()
        recorder.insert_events(new_events(3))
        found = samples(metrics.text())
    finally:
        metrics.close()
    assert found["eventsourcing_append_events_total"] == {(HOSTILE,): 3}
    assert found["eventsourcing_append_duration_seconds_count"] == {(HOSTILE,): 1}
    assert found["eventsourcing_application_position"][(HOSTILE,)] == 3
    assert instrumentation.observer is instrumentation.NOBODY


@pytest.mark.needs(Capability.SHARED)
def test_what_is_in_the_database(
    open_factory: OpenFactory, datastore: SQLAlchemyDatastore
) -> None:
    """Beside another provider, which goes on to be told what happens."""
    undo = instrument(datastore)
    other = instrumentation.observer
    open_factory().application_recorder().insert_events(new_events(2))
    open_factory("p").tracking_recorder(Positions)
    metrics = PrometheusMetrics(datastore, of_process=False)
    try:
        assert instrumentation.observer is other
        found = samples(metrics.text())
    finally:
        metrics.close()
        undo()
    assert found["eventsourcing_application_position"] == {("Application",): 2}
    assert "eventsourcing_append_events_total" not in found


def test_an_outage_is_noticed_once(
    datastore: SQLAlchemyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by each gauge, though that takes longer than the interval."""
    asked = []
    begun = monotonic()

    def fail(datastore: SQLAlchemyDatastore) -> None:
        asked.append(datastore)
        raise CannotConnectError("it is away")

    # By this clock, each question takes 0.6 s.
    monkeypatch.setattr(asking, "monotonic", lambda: begun + 0.6 * len(asked))
    monkeypatch.setattr(projections, "overview", fail)
    metrics = PrometheusMetrics(datastore, interval=0.5, of_process=False)
    try:
        metrics.text()
    finally:
        metrics.close()
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("module", "extra"),
    [("opentelemetry", "otel"), ("opentelemetry.exporter.prometheus", "prometheus")],
)
def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str
) -> None:
    for name in [*sys.modules]:
        if f"{name}.".startswith(f"{module}."):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=f"with the extra '{extra}'"):
        instrument() if extra == "otel" else PrometheusMetrics()
