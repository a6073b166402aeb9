"""The dashboard asks for metrics that there are."""

from __future__ import annotations

import json
import re

import pytest
from eventsourcing.persistence import Tracking
from prometheus_client.parser import text_string_to_metric_families

from backends import Capability
from behaviour.workers import DeliberateError, new_events
from docs.pages import ROOT
from eventsourcing_alchemy import SQLAlchemyDatastore, instrumentation
from eventsourcing_alchemy.operations.telemetry.prometheus import PrometheusMetrics
from factories import OpenFactory
from positions import Positions

DASHBOARD = ROOT / "docs" / "how-to" / "grafana-dashboard.json"
PAGE = ROOT / "docs" / "how-to" / "metrics.md"


def happen(open_factory: OpenFactory) -> None:
    """Everything that is told of, once."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(new_events())
    view = open_factory("p").tracking_recorder(Positions)
    view.note(Tracking("Application", 1))
    observer = instrumentation.observer
    names = ("p", "Application")
    observer.retried("CONFLICT")
    observer.committed_together(2)
    observer.woken("Application", "timer")
    observer.failed(*names, DeliberateError())
    observer.passed_over(*names)
    observer.lease_taken(*names)
    observer.lease_ended(*names, is_lost=True)
    observer.outage_began()
    observer.outage_ended(1.0)
    observer.reading("Application").__enter__().__exit__(DeliberateError, None, None)
    notifications = recorder.select_notifications(None, 1)
    with observer.processing(*names, notifications) as processing:
        processing.done(1)
    instruments = observer.instruments  # type: ignore[attr-defined]
    attributes = {
        "eventsourcing.projection.name": "p",
        "eventsourcing.application.name": "Application",
    }
    instruments.append_conflicts.add(1, attributes)


@pytest.mark.needs(Capability.NOTIFY)
def test_dashboard(open_factory: OpenFactory, datastore: SQLAlchemyDatastore) -> None:
    from eventsourcing_alchemy import Lease

    assert Lease(datastore, "p", "Application").acquire()
    metrics = PrometheusMetrics(datastore)
    try:
        happen(open_factory)
        text = metrics.text().decode()
    finally:
        metrics.close()
    families = list(text_string_to_metric_families(text))
    told = {sample.name for family in families for sample in family.samples}
    labels = {
        label
        for family in families
        for sample in family.samples
        for label in sample.labels
    }
    asked = DASHBOARD.read_text()
    dashboard = json.loads(asked)
    panels = dashboard["panels"]
    assert len(panels) == 16
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            assert set(re.findall(r"eventsourcing_\w+", variable["query"])) <= (
                told | labels
            )
    for panel in panels:
        for target in panel["targets"]:
            names = set(
                re.findall(r"\b(?:eventsourcing|db_client)_\w+", target["expr"])
            )
            assert names
            assert names <= told | labels, target["expr"]


def test_grafana_can_lay_it_out() -> None:
    """Each panel at a place of its own, of the data source that is asked for."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        targets = panel["targets"]
        assert len({target["refId"] for target in targets}) == len(targets)
        for each in (panel, *targets):
            assert each["datasource"]["uid"] == "${datasource}"
    names = {each["name"] for each in dashboard["templating"]["list"]}
    asked = {found for p in panels for found in re.findall(r"\$([a-z]+)", str(p))}
    assert asked <= names


def test_the_page_names_each_instrument(open_factory: OpenFactory) -> None:
    from eventsourcing_alchemy import instrument
    from telemetry.collected import Collected

    collected = Collected()
    undo = instrument(open_factory().datastore, meter_provider=collected.meter_provider)
    try:
        meters = collected.meter_provider._meters.values()
        names = {
            instrument.name
            for meter in meters
            for instrument in meter._instrument_id_instrument.values()
        }
    finally:
        undo()
        collected.close()
    named = set(re.findall(r"^\| `([\w.]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert names == named
