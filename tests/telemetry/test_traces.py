"""Spans, and what links them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import IntegrityError, Tracking
from eventsourcing.projection import Projection
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

from backends import Capability
from behaviour.workers import new_events
from eventsourcing_alchemy import SQLAlchemyProjectionRunner, instrumentation
from factories import OpenFactory
from positions import Positions
from telemetry.collected import Collected


class Noting(Projection[Positions]):
    name = "noting"
    spans: ClassVar[list[Any]] = []

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.spans.append(get_current_span().get_span_context())
        self.view.note(tracking)


@pytest.fixture
def application(env: dict[str, str]) -> Iterator[Application[UUID]]:
    with Application[UUID](env) as application:
        yield application


def span_ids(spans: list[ReadableSpan]) -> set[int]:
    return {each.context.span_id for each in spans}


def test_an_append(collected: Collected, open_factory: OpenFactory) -> None:
    recorder = open_factory().application_recorder()
    events = new_events(2)
    tracer = collected.tracer_provider.get_tracer("of a request")
    with tracer.start_as_current_span("request") as request:
        recorder.insert_events(events)
    (span,) = collected.spans("append Application")
    assert span.kind is SpanKind.PRODUCER
    assert span.parent == request.get_span_context()
    assert dict(span.attributes or {}) == {
        "eventsourcing.application.name": "Application",
        "eventsourcing.events": 2,
        "eventsourcing.position": 2,
    }


def test_an_append_that_fails(collected: Collected, open_factory: OpenFactory) -> None:
    """Without the error's text, which may hold the key that is there already."""
    recorder = open_factory().application_recorder()
    events = new_events()
    recorder.insert_events(events)
    twice = [*events, *new_events()]
    with pytest.raises(IntegrityError):
        recorder.insert_events(twice)
    _, failed = collected.spans("append Application")
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.status.description == "eventsourcing.persistence.IntegrityError"
    assert failed.events == ()


@pytest.mark.needs(Capability.SHARED)
def test_a_batch_is_linked_to_what_wrote_its_events(
    collected: Collected, application: Application[UUID], env: dict[str, str]
) -> None:
    Noting.spans = []
    for _ in range(20):
        application.save(Aggregate(), Aggregate())
    with SQLAlchemyProjectionRunner(
        application_class=Application[UUID],
        projection_class=Noting,
        view_class=Positions,
        env=env,
    ) as runner:
        runner.wait(40, timeout=10)
    batches = collected.spans("process noting")
    appends = collected.spans("append Application")
    assert len(appends) == 20
    linked = {link.context.span_id for batch in batches for link in batch.links}
    assert linked == span_ids(appends)
    assert {each.kind for each in batches} == {SpanKind.CONSUMER}
    counts = [(each.attributes or {})["eventsourcing.events"] for each in batches]
    assert sum(map(int, map(str, counts))) == 40
    # What the projection does is part of the batch.
    assert {each.span_id for each in Noting.spans} == span_ids(batches)
    (page,) = collected.spans("read Application")
    assert (page.attributes or {})["eventsourcing.events"] == 40


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.usefixtures("collected")
def test_what_is_of_another_application_is_not_linked(
    open_factory: OpenFactory,
) -> None:
    """Of one name, in another database, say."""
    recorder = open_factory().application_recorder()
    recorder.insert_events(new_events())
    (found,) = recorder.select_notifications(None, 1)
    observer: Any = instrumentation.observer
    assert len(list(observer.writers.of("Application", [found]))) == 1
    assert list(observer.writers.of("Other", [found])) == []
    others = open_factory("Other").application_recorder()
    others.insert_events(new_events())
    (other,) = others.select_notifications(None, 1)
    assert list(observer.writers.of("Application", [other])) == []
