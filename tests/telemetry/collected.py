"""What OpenTelemetry has collected, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Collected:
    """Providers that keep everything, and what they have kept."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))

    def close(self) -> None:
        self.meter_provider.shutdown()
        self.tracer_provider.shutdown()

    def points(self, name: str) -> dict[tuple[str, ...], float]:
        """What an instrument tells, by the values of its attributes.

        Of a histogram, the number of its values.
        """
        return {
            tuple(str(value) for _, value in sorted(point.attributes.items())): (
                point.count if isinstance(point, HistogramDataPoint) else point.value
            )
            for point in self.metrics().get(name, ())
        }

    def sums(self, name: str) -> dict[tuple[str, ...], float]:
        """The sums of a histogram."""
        return {
            tuple(str(value) for _, value in sorted(point.attributes.items())): (
                point.sum
            )
            for point in self.metrics().get(name, ())
        }

    def metrics(self) -> Mapping[str, Sequence[Any]]:
        """All that is told now, by instrument."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: list(metric.data.data_points)
            for of_resource in (data.resource_metrics if data else ())
            for scope in of_resource.scope_metrics
            for metric in scope.metrics
        }

    def spans(self, name: str) -> list[ReadableSpan]:
        """The spans of that name that have ended."""
        ended = self._exporter.get_finished_spans()
        return [each for each in ended if each.name == name]
